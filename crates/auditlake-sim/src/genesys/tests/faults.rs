//! What every simulator stands on: faults, latency, counters, start and stop.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Fault, FaultRule};

#[tokio::test]
async fn a_refusal_has_the_form_of_its_host() {
    let client = Client::usual().await;
    let faults = client.sim.faults();
    faults.next(endpoint::SERVICES, 2, refusal(503, Some("7")));
    assert_eq!(client.post(QUERY, &week("Architect")).await.status, 202);
    for _ in 0..2 {
        let reply = client.services().await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, "7"));
        assert_eq!(reply.text_at("/code"), "service.unavailable");
        let context = reply.header("inin-correlation-id");
        assert_eq!(reply.text_at("/contextId"), context);
    }
    faults.next(endpoint::SERVICES, 1, refusal(429, Some("42")));
    let reply = client.services().await;
    let message = reply.text_at("/message");
    assert!(message.ends_with("Retry the request in [42] seconds"));
    assert!(!reply.header("inin-ratelimit-count").is_empty());
    faults.next(endpoint::TOKEN, 1, refusal(503, None));
    let reply = client.token("sim-client:sim-secret", FORM, GRANT).await;
    assert_eq!((reply.status, reply.at("/error").is_string()), (503, true));
    faults.next(endpoint::DOWNLOAD, 1, refusal(503, None));
    let download = client
        .http
        .get(format!("{}/download/x", client.sim.download_url()));
    let reply = Reply::of(download).await;
    assert!(reply.status == 503 && reply.text().contains("<Error>"));
    faults.next_any(1, Fault::Html { status: 502 });
    let reply = client.services().await;
    assert!(reply.status == 502 && reply.text().starts_with("<html>"));
    assert_eq!(reply.header("content-type"), "text/html");
    assert_eq!(reply.header("inin-correlation-id"), "");
    assert_eq!(client.services().await.status, 200);
}

#[tokio::test]
async fn bodies_can_be_truncated_cut_rewritten_and_endless() {
    let client = Client::usual().await;
    let whole = client.services().await;
    let faults = client.sim.faults();
    faults.next_any(1, Fault::TruncatedBody);
    let half = client.services().await;
    assert_eq!(half.body, whole.body[..whole.body.len() / 2]);
    for path in [format!("{QUERY}/servicemapping"), format!("{QUERY}/x")] {
        faults.next_any(1, Fault::CutBody);
        let cut = client.request("GET", &path, "");
        assert!(Reply::unless_broken(cut).await.is_err());
    }
    faults.next_any(
        1,
        Fault::rewritten(|asked, written| {
            assert_eq!(asked.query, "");
            written.status = 418;
            written.body.clear();
        }),
    );
    faults.next_any(
        1,
        Fault::chosen(|asked| {
            let more = vec![("x-more", "1".to_owned())];
            (asked.query == "a=1").then_some(Fault::Headers(more))
        }),
    );
    let reply = client.services().await;
    assert_eq!((reply.status, reply.text()), (418, ""));
    let reply = client.get(&format!("{QUERY}/servicemapping?a=1")).await;
    assert_eq!((reply.header("x-more"), &reply.body), ("1", &whole.body));
    for (fault, least) in [(Fault::Stall, 1), (Fault::Endless, 500_000)] {
        faults.next_any(1, fault);
        let call = client.request("GET", &format!("{QUERY}/servicemapping"), "");
        let mut answer = call.send().await.unwrap();
        let mut read = 0;
        while read < least {
            read += answer.chunk().await.unwrap().unwrap().len();
        }
    }
    assert_eq!(client.services().await.body, whole.body);
}

#[tokio::test]
async fn a_reset_call_has_taken_effect_unless_it_is_reset_before() {
    let client = Client::usual().await;
    let submit = || client.request("POST", QUERY, &week("Architect").to_string());
    for (fault, taken) in [(Fault::Reset, 1), (Fault::ResetBefore, 1)] {
        client.sim.faults().next(endpoint::SUBMIT, 1, fault);
        assert!(submit().send().await.is_err());
        assert_eq!(client.sim.counters().answers(202), taken);
    }
    assert_eq!(client.sim.counters().calls(endpoint::SUBMIT), 2);
    client.run(&week("Architect")).await;
}

#[tokio::test]
async fn a_rule_can_let_calls_pass_first_and_all_are_counted() {
    let client = Client::usual().await;
    client.sim.faults().inject(FaultRule {
        endpoint: None,
        skip: 2,
        times: 1,
        fault: Fault::Html { status: 500 },
    });
    for status in [200, 200, 500, 200] {
        assert_eq!(client.services().await.status, status);
    }
    client.sim.faults().next_any(1, Fault::Reset);
    client.sim.faults().clear();
    client.get("/nowhere").await;
    client.post(REALTIME, &json!({})).await;
    let counters = client.sim.counters();
    let names = [
        endpoint::TOKEN,
        endpoint::SERVICES,
        endpoint::OTHER,
        endpoint::REALTIME,
    ];
    let calls = names.map(|name| counters.calls(name));
    assert_eq!((calls, counters.total_calls()), ([1, 4, 1, 1], 7));
    let answers = [200, 500, 404, 400].map(|status| counters.answers(status));
    assert_eq!(answers, [4, 1, 1, 1]);
}

#[tokio::test]
async fn calls_can_be_held_and_delayed() {
    let client = Client::usual().await;
    let release = CancellationToken::new();
    client
        .sim
        .faults()
        .next(endpoint::SERVICES, 2, Fault::Hold(release.clone()));
    let calls = async { tokio::join!(client.services(), client.services()) };
    let release_when_all_wait = async {
        client.sim.counters().reached(endpoint::SERVICES, 2).await;
        assert_eq!(client.sim.counters().answers(200), 1, "the sign-in only");
        release.cancel();
    };
    let ((one, other), ()) = tokio::join!(calls, release_when_all_wait);
    assert_eq!((one.status, other.status), (200, 200));
    let slow = Duration::from_millis(60);
    client.sim.faults().next_any(1, Fault::Delay(slow));
    for _ in 0..2 {
        let began = Instant::now();
        client.services().await;
        assert!(began.elapsed() >= slow);
        client.sim.set_latency(slow);
    }
}

#[tokio::test]
async fn a_simulator_ends_its_calls_and_frees_its_port() {
    let Client { sim, http, token } = Client::usual().await;
    let address = sim.base_url().replace("http://", "");
    assert!(TcpStream::connect(&address).await.is_ok());
    sim.faults()
        .next(endpoint::SERVICES, 1, Fault::Hold(CancellationToken::new()));
    let request = http.get(format!("http://{address}{QUERY}/servicemapping"));
    let call = tokio::spawn(request.bearer_auth(token).send());
    sim.counters().reached(endpoint::SERVICES, 1).await;
    drop(sim);
    let ended = call.await.unwrap();
    assert!(ended.is_err() || ended.is_ok_and(|response| response.status() == 503));
    let Client { sim, http, .. } = Client::usual().await;
    let address = sim.base_url().replace("http://", "");
    drop(http);
    sim.shutdown().await;
    assert!(TcpStream::connect(&address).await.is_err());
}
