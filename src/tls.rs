//! The TLS provider of the process.

/// Makes *ring* the process's TLS provider, for the HTTP client and the object store alike. May be called again.
pub fn install() {
    // an error only says that a provider is installed already
    let _ = rustls::crypto::ring::default_provider().install_default();
}
