//! Unknown host names, untrusted certificates, and ports without a server or with another one.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auditlake::client::ClientLimits;
use auditlake::model::{FailureKind, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::worlds::*;
use crate::support::rig::{Rig, Simulator, at};

fn certificate(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
    PathBuf::from(folder).join(format!("{name}.pem"))
}

/// Nobody that can be asked.
struct Elsewhere;

impl Simulator for Elsewhere {
    fn set_now(&self, _: Timestamp) {}
}

/// A little patience: half a second of silence is too much.
fn hurried() -> ClientLimits {
    ClientLimits {
        connect_timeout: Duration::from_millis(500),
        read_timeout: Duration::from_millis(500),
        attempts: 2,
        ..impatient()
    }
}

/// Serves over TLS, until the process ends, with this certificate.
fn serve(name: &str) -> u16 {
    auditlake::tls::install();
    let certificate = CertificateDer::from_pem_file(certificate(name)).unwrap();
    let key = certificate_key();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    answer(move |stream| {
        let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, stream);
        if stream.read(&mut [0; 4096]).is_ok() {
            // a client that disconnected gets no answer
            let _ = stream.write_all(OK.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    })
}

fn certificate_key() -> PrivateKeyDer<'static> {
    let path = certificate("server").with_extension("key");
    PrivateKeyDer::from_pem_file(path).unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 12\r\n\r\n{\"audit\":[]}";

/// Answers every connection, one after the other, until the process ends.
fn answer(with: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            with(stream);
        }
    });
    port
}

/// Serves without TLS.
fn serve_plainly() -> u16 {
    answer(|mut stream| {
        if stream.read(&mut [0; 4096]).is_ok() {
            let _ = stream.write_all(OK.as_bytes());
        }
    })
}

/// A run against this URL.
async fn asking(url: &str, ca_file: Option<&str>, more: &str) -> Ended {
    let ca_file = ca_file.map_or_else(String::new, |name| {
        format!("ca_file: {}", certificate(name).display())
    });
    let yaml = format!(
        "lake: {{url: memory://}}
connections:
  prod:
    provider: everyware_cloud
    base_url: {url}
    account_id: acme
    username: sim-user
    password: sim-secret
    {ca_file}
    {more}
jobs:
  - name: audits
    connection: prod
    schedule: '@hourly'
    start: {FROM}
    options: {{timezone: UTC}}
"
    );
    let mut rig = Rig::of(Elsewhere, &yaml).await;
    rig.job.source.client = client(&yaml, hurried());
    attempt(&rig, at(NOW)).await
}

#[tokio::test]
async fn a_certificate_of_ones_own_authority_is_good_where_it_is_named() {
    let url = format!("https://127.0.0.1:{}/v2", serve("good"));
    let ended = asking(&url, Some("authority"), "").await;
    assert_eq!(ended.message, "");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority() {
    let url = format!("https://127.0.0.1:{}/v2", serve("good"));
    let ended = asking(&url, None, "").await;
    assert_eq!(ended.kinds, [FailureKind::Config]);
    insta::assert_snapshot!(ended.message, @"config: GET `https://127.0.0.1:PORT/v2/audit` can't be sent: the server's certificate isn't accepted; if your own certificate authority signed it, set `ca_file`: error sending request: client error (Connect): invalid peer certificate: UnknownIssuer");
}

#[tokio::test]
async fn a_certificate_for_another_host() {
    let url = format!("https://127.0.0.1:{}/v2", serve("other"));
    let ended = asking(&url, Some("authority"), "").await;
    assert_eq!(ended.kinds, [FailureKind::Config]);
    insta::assert_snapshot!(ended.message, @r#"config: GET `https://127.0.0.1:PORT/v2/audit` can't be sent: the server's certificate isn't accepted; it is for another host than the URL's: error sending request: client error (Connect): invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("other.example.com")"#);
}

#[tokio::test]
async fn a_certificate_that_has_expired() {
    let url = format!("https://127.0.0.1:{}/v2", serve("expired"));
    let ended = asking(&url, Some("authority"), "").await;
    assert_eq!(ended.kinds, [FailureKind::Config]);
    let (message, _) = ended.message.split_once(": error sending").unwrap();
    insta::assert_snapshot!(message, @"config: GET `https://127.0.0.1:PORT/v2/audit` can't be sent: the server's certificate isn't accepted; it has expired, unless this machine's clock is wrong");
}

#[tokio::test]
async fn https_where_http_is_spoken() {
    let url = format!("https://127.0.0.1:{}/v2", serve_plainly());
    let ended = asking(&url, None, "").await;
    assert_eq!(ended.kinds, [FailureKind::Transient]);
    insta::assert_snapshot!(ended.message, @"transient: gave up on GET `https://127.0.0.1:PORT/v2/audit` after 2 attempts in T s: the server there doesn't use TLS (is the port right?): error sending request: client error (Connect): received corrupt message of type InvalidContentType");
}

#[tokio::test]
async fn http_where_https_is_spoken() {
    let url = format!("http://127.0.0.1:{}/v2", serve("good"));
    let ended = asking(&url, None, "allow_http: true").await;
    assert_eq!(ended.kinds, [FailureKind::Transient]);
    insta::assert_snapshot!(ended.message, @"transient: gave up on GET `http://127.0.0.1:PORT/v2/audit` after 2 attempts in T s: the server there doesn't use HTTP (is it `https://`?): error sending request: client error (SendRequest): invalid HTTP version parsed");
}

#[tokio::test]
async fn a_port_that_is_closed() {
    // nobody listens on the first port, and who could is root
    let ended = asking("http://127.0.0.1:1/v2", None, "allow_http: true").await;
    assert_eq!(ended.kinds, [FailureKind::Transient]);
    insta::assert_snapshot!(ended.message, @"transient: gave up on GET `http://127.0.0.1:PORT/v2/audit` after 2 attempts in T s: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)");
}

/// The system takes the connection, and nobody ever reads it.
#[tokio::test]
async fn a_port_where_nobody_says_anything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for (scheme, more) in [("http", "allow_http: true"), ("https", "")] {
        let ended = asking(&format!("{scheme}://{address}/v2"), None, more).await;
        assert_eq!(ended.kinds, [FailureKind::Transient], "{scheme}");
        assert!(
            ended.message.contains("127.0.0.1:PORT"),
            "{}",
            ended.message
        );
        assert!(ended.message.ends_with("timed out"), "{}", ended.message);
    }
}

/// Whether a resolver says so, or is silent itself.
#[tokio::test]
async fn a_name_that_nobody_knows() {
    let ended = asking(
        "https://audit.auditlake.invalid/v2",
        None,
        "allowed_hosts: [audit.auditlake.invalid]",
    )
    .await;
    assert_eq!(ended.kinds, [FailureKind::Transient], "{}", ended.message);
    let message = ended.message.as_str();
    assert!(
        message.contains("GET `https://audit.auditlake.invalid/v2/audit` after 2 attempts"),
        "{message}"
    );
    assert!(
        message.contains("dns error") || message.ends_with("timed out"),
        "{message}"
    );
}
