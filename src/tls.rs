//! The TLS provider of the whole process, and what its clients share of TLS.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
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

/// The certificates in a PEM file, all of which can be trusted; else what is wrong with it, as what follows its name.
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
                "holds something else than a certificate, in its block {}",
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
        let said = |pem: &str| certificates(pem.as_bytes()).err().unwrap_or_default();
        assert_eq!(said(""), "holds no PEM certificate");
        let block = |inside: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n")
        };
        assert_eq!(
            said(&block("AAAA")),
            "holds something else than a certificate, in its block 1"
        );
        assert_eq!(
            said(&block("%%%%")),
            "isn't PEM: a certificate in it is broken"
        );
    }
}
