//! The TLS provider of the process, and the TLS configuration shared by its clients.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// How long the system's certificates are cached. All clients of a configuration are created within this time, and a
/// configuration that is reloaded by SIGHUP sees changed certificates.
const AS_READ: Duration = Duration::from_secs(30);

/// When the system's certificates were last read, and the result.
static SHARED: Mutex<Option<(Instant, ClientConfig)>> = Mutex::new(None);

/// Installs *ring* as the process's TLS provider, unless one is installed.
///
/// Called by everything that opens TLS connections (the HTTP client, the object store); idempotent and thread-safe.
pub fn install() {
    // an error only means that a provider is already installed
    drop(ring::default_provider().install_default());
}

/// Returns the TLS configuration like reqwest's, with the system's trust, HTTP/2 and HTTP/1.1.
///
/// All clients share one set of certificates and one session cache; a separate set per client would take 10 ms and 200
/// kB each. Fails if the system has no certificates.
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
        .dangerous() // for a verifier other than rustls's own; it is reqwest's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = ["h2", "http/1.1"]
        .map(|name| name.as_bytes().to_vec())
        .into();
    *shared = Some((Instant::now(), config.clone()));
    Ok(config)
}

/// Returns the certificates in a PEM file. The error is the problem, as a text that follows the file's name.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| "isn't PEM: a certificate in it is broken".to_owned())?;
    if certificates.is_empty() {
        return Err("holds no PEM certificate".to_owned());
    }
    let mut trusted = RootCertStore::empty();
    for (at, certificate) in certificates.iter().enumerate() {
        trusted.add(certificate.clone()).map_err(|_| {
            format!(
                "contains something other than a certificate, in its block {}",
                at + 1
            )
        })?;
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_certificates_is_looked_into() {
        let bundle = include_bytes!("client/testdata/bundle.pem");
        assert_eq!(certificates(bundle).map(|all| all.len()), Ok(2));
        let message = |pem: &str| certificates(pem.as_bytes()).err().unwrap_or_default();
        assert_eq!(message(""), "holds no PEM certificate");
        let block = |inside: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n")
        };
        assert_eq!(
            message(&block("AAAA")),
            "contains something other than a certificate, in its block 1"
        );
        assert_eq!(
            message(&block("%%%%")),
            "isn't PEM: a certificate in it is broken"
        );
    }
}
