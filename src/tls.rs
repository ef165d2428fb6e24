//! The TLS provider of the whole process, and what its clients share of TLS.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls_platform_verifier::Verifier;

/// How long the system's certificates are taken as they were read. All clients of one configuration are made within it,
/// and one that is read again by SIGHUP sees what has changed meanwhile.
const AS_READ: Duration = Duration::from_secs(30);

/// When the system's certificates were last read, and what came of it.
static SHARED: Mutex<Option<(Instant, ClientConfig)>> = Mutex::new(None);

/// Makes *ring* the process's TLS provider, unless one is already installed.
///
/// Everything that opens a TLS connection (the HTTP client, the object store) calls it first; it may be called any
/// number of times, from any thread.
pub fn install() {
    // an error only says that a provider is already there
    drop(ring::default_provider().install_default());
}

/// TLS as reqwest sets it up, trusting what the system trusts, with HTTP/2 and HTTP/1.1.
///
/// All that ask share one set of certificates and one cache of sessions: read by each client for itself, the set costs
/// 10 ms and 200 kB a time. Fails if the system has no certificates.
pub fn shared() -> Result<ClientConfig, rustls::Error> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((read, config)) = &*shared
        && read.elapsed() < AS_READ
    {
        return Ok(config.clone());
    }
    install();
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
    let verifier = Verifier::new(Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous() // to have another verifier than rustls's own; it is the one that reqwest has
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = ["h2", "http/1.1"]
        .map(|name| name.as_bytes().to_vec())
        .into();
    *shared = Some((Instant::now(), config.clone()));
    Ok(config)
}
