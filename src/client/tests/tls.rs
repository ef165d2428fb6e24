//! TLS with *ring*, and certificates that the system doesn't know.
//!
//! `testdata/server.key` is the key of a certificate that only this test trusts; its authority's key is gone.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::model::FailureKind;

/// Serves requests over TLS until the process ends; its certificate is for 127.0.0.1, by the last of `bundle.pem`.
fn serve() -> u16 {
    crate::tls::install();
    crate::tls::install();
    let certificate = CertificateDer::from_pem_slice(include_bytes!("../testdata/server.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../testdata/server.key"));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.unwrap()], key.unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(tls, stream.unwrap());
            let mut head = [0; 4096];
            if stream.read(&mut head).is_err() {
                continue; // the client doesn't trust it
            }
            let body = r#"{"access_token":"t"}"#;
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_ca_file_of_several_certificates_is_trusted_besides_the_systems() {
    let port = serve();
    let api = Api::start(|_, _| None).await;
    let to_tls = |settings: &mut ClientSettings| {
        settings.allow_http = false;
        settings.endpoint.api =
            ServiceHost::At(Url::parse(&format!("https://127.0.0.1:{port}")).unwrap());
        let (token_url, ..) = oauth(settings);
        *token_url = ServiceHost::At(Url::parse(&format!("https://127.0.0.1:{port}/t")).unwrap());
    };
    let trusting = with(&api, |settings| {
        to_tls(settings);
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client/testdata/bundle.pem");
        settings.ca_file = Some(bundle);
    });
    assert_eq!(send(&trusting, &get("/x")).await.unwrap().status, 200);
    // https doesn't become http by a download
    let error = send(&trusting, &download(api.url("/f"))).await.unwrap_err();
    assert!(matches!(error, ClientError::Forbidden { .. }));

    let client = with(&api, to_tls);
    let error = send(&client, &get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Config, "{error:?}");
    assert_eq!(client.requests().sent, 1, "not retried");
    let text = chain(&api, &error).replace(&port.to_string(), "PORT");
    insta::assert_snapshot!(text, @"POST `https://127.0.0.1:PORT/t` can't be sent: the server's certificate isn't accepted; if your own certificate authority signed it, set `ca_file` <- error sending request <- client error (Connect) <- invalid peer certificate: UnknownIssuer");
}

/// The system's certificates are named by the environment, so a process of its own asks: this test, started again.
#[tokio::test]
async fn what_the_system_trusts_is_trusted() {
    const PORT: &str = "AUDITLAKE_TEST_TLS_PORT";
    let Ok(port) = std::env::var(PORT) else {
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client/testdata/bundle.pem");
        let asking = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "client::tests::tls::what_the_system_trusts_is_trusted",
                "--exact",
            ])
            .env("SSL_CERT_FILE", bundle)
            .env(PORT, serve().to_string())
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&asking.stdout);
        assert!(
            asking.status.success() && message.contains("1 passed"),
            "{message}"
        );
        return;
    };
    let api = Api::start(|_, _| None).await;
    for _ in 0..2 {
        let client = with(&api, |settings| {
            settings.allow_http = false;
            let url = |path: &str| Url::parse(&format!("https://127.0.0.1:{port}{path}")).unwrap();
            settings.endpoint.api = ServiceHost::At(url(""));
            let (token_url, ..) = oauth(settings);
            *token_url = ServiceHost::At(url("/t"));
        });
        assert_eq!(send(&client, &get("/x")).await.unwrap().status, 200);
    }
}
