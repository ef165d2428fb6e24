//! The TLS provider of the whole process.

/// Makes *ring* the process's TLS provider, unless one is already installed.
///
/// Everything that opens a TLS connection (the HTTP client, the object store) calls it first; it may be called any
/// number of times, from any thread.
pub fn install() {
    // an error only says that a provider is already there
    drop(rustls::crypto::ring::default_provider().install_default());
}
