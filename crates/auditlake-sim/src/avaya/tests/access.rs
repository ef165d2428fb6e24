//! Who may ask, how often, and for which paths.

use super::super::{TokenAnswer, endpoint};
use super::*;
use crate::{Fault, RateLimit};

#[tokio::test]
async fn a_token_takes_the_app_key_a_form_and_the_right_client() {
    let client = Client::new(settled(), &small()).await;
    let ask = |path: &str, kind: &str, key: &str, body: &str| {
        let request = client.request(path, kind, body.to_owned());
        Reply::of(request.header("appkey", key))
    };
    let key = "sim-app-key";
    let wrong = SIGN_IN.replace("sim-secret", "x");
    let grant = SIGN_IN.replace("client_credentials", "password");
    let nameless = SIGN_IN.replace("&client_id=sim-client", "");
    let elsewhere = TOKEN.replace("ABCDEF", "GHIJKL");
    let misnamed = TOKEN.replace("ABCDEF", "ABC1EF");
    for (path, kind, key, body, problem) in [
        (
            TOKEN,
            FORM,
            "other",
            SIGN_IN,
            "401 Missing or invalid credentials(Appkey)",
        ),
        (
            TOKEN,
            FORM,
            key,
            &wrong,
            "401 Missing or invalid credentials(Client)",
        ),
        (TOKEN, FORM, key, &grant, "400 Unsupported grant_type"),
        (TOKEN, FORM, key, &nameless, r#"400 "client_id" 20002"#),
        (
            TOKEN,
            "application/json",
            key,
            SIGN_IN,
            "415 The content type is not supported.",
        ),
        (&misnamed, FORM, key, SIGN_IN, r#"400 "accountId" 20006"#),
        (
            &elsewhere,
            FORM,
            key,
            SIGN_IN,
            "404 No method for this path, or a referenced resource does not exist.",
        ),
    ] {
        assert_eq!(ask(path, kind, key, body).await.problem(), problem);
    }
    let bare = Reply::of(client.request(TOKEN, FORM, SIGN_IN.to_owned())).await;
    assert_eq!(bare.problem(), "401 Missing or invalid credentials(Appkey)");
}

#[tokio::test]
async fn a_token_comes_with_as_much_as_is_set() {
    for (shape, members) in [
        (TokenAnswer::Minimal, 2),
        (TokenAnswer::Documented, 3),
        (TokenAnswer::Extended, 7),
    ] {
        let settings = AvayaSettings {
            token_answer: shape,
            ..AvayaSettings::default()
        };
        let client = Client::new(settings, &small()).await;
        let request = client.request(TOKEN, FORM, SIGN_IN.to_owned());
        let reply = Reply::of(request.header("appkey", "sim-app-key")).await;
        assert_eq!(reply.json()["expires_in"], 900);
        assert_eq!(reply.json().as_object().unwrap().len(), members);
    }
}

#[tokio::test]
async fn a_search_takes_both_credentials_and_says_which_is_wrong() {
    let client = Client::new(settled(), &small()).await;
    let path = format!("{USER}/accounts/ABCDEF/audit-records:search");
    let body = week("USER").to_string();
    let bare = || client.request(&path, "application/json", body.clone());
    let anonymous = Reply::of(bare()).await;
    assert_eq!(
        anonymous.problem(),
        "401 Missing or invalid credentials(Appkey)"
    );
    let keyless = Reply::of(bare().bearer_auth(&client.token)).await;
    assert_eq!(
        keyless.problem(),
        "401 Missing or invalid credentials(Appkey)"
    );
    let tokenless = Reply::of(bare().header("appkey", "sim-app-key")).await;
    assert_eq!(
        tokenless.problem(),
        "401 Missing or invalid credentials(Access-Token)"
    );
    assert_eq!(client.users("").await.status, 200);
    client.sim.set_app_key("rotated");
    assert_eq!(
        client.users("").await.problem(),
        "401 Missing or invalid credentials(Appkey)"
    );
}

#[tokio::test]
async fn a_token_lives_fifteen_minutes_of_the_simulators_clock() {
    let settings = AvayaSettings {
        token_lifetime: Duration::from_mins(15),
        advance_per_call: Duration::from_mins(5),
        ..settled()
    };
    let mut client = Client::new(settings, &small()).await;
    for status in [200, 200, 200, 401] {
        assert_eq!(client.users("").await.status, status);
    }
    client.sign_in().await;
    assert_eq!(client.users("").await.status, 200);
    client.sim.revoke_tokens();
    assert_eq!(
        client.users("").await.problem(),
        "401 Missing or invalid credentials(Access-Token)"
    );
}

#[tokio::test]
async fn paths_are_exact() {
    let client = Client::new(settled(), &small()).await;
    for path in [
        "/",
        "/api/admin/user/v1/accounts/ABCDEF/audit-records%3Asearch",
        "/api/admin/user/v1/accounts/ABCDEF/audit-records:export",
        "/api/admin/user/v1/accounts//audit-records:search",
        "/api/admin/user/v1/accounts/A/B/audit-records:search",
        "/api/admin/user/v1beta/accounts/ABCDEF/audit-records:search",
        "/api/admin/user/v1/api/admin/user/v1/accounts/ABCDEF/audit-records:search",
    ] {
        assert_eq!(
            Reply::of(client.signed(path, &week("USER"))).await.status,
            404,
            "{path}"
        );
    }
    let url = format!(
        "{}{USER}/accounts/ABCDEF/audit-records:search",
        client.sim.base_url()
    );
    assert_eq!(Reply::of(client.http.get(url)).await.status, 405);
    let other = format!("{USER}/accounts/GHIJKL/audit-records:search");
    assert_eq!(
        Reply::of(client.signed(&other, &week("USER"))).await.status,
        404
    );
    let short = format!("{USER}/accounts/ABC/audit-records:search");
    let reply = Reply::of(client.signed(&short, &week("USER"))).await;
    assert_eq!(reply.problem(), r#"400 "accountId" 20006"#);
}

#[tokio::test]
async fn both_limits_refuse_in_their_own_words() {
    let per = Duration::from_hours(1);
    let spike = AvayaSettings {
        spike_limit: RateLimit { calls: 2, per },
        rate_headers: true,
        ..settled()
    };
    let client = Client::new(spike, &small()).await;
    for remaining in ["1", "0"] {
        assert_eq!(
            client.users("").await.headers["ratelimit-remaining"],
            remaining
        );
    }
    let refused = client.users("").await;
    assert_eq!(refused.problem(), "429 Spike limit has been exhausted");
    assert_eq!(refused.headers["ratelimit-policy"], "2;w=3600");
    assert!(refused.headers["retry-after"].parse::<u64>().unwrap() > 3_000);

    let quota = AvayaSettings {
        quota: RateLimit { calls: 1, per },
        ..settled()
    };
    let client = Client::new(quota, &small()).await;
    assert_eq!(client.users("").await.status, 200);
    let refused = client.users("").await;
    assert_eq!(refused.problem(), "429 Tenant Quota has been exhausted");
    assert!(!refused.headers.contains_key("retry-after"));

    let client = Client::new(settled(), &small()).await;
    client.sim.exhaust_quota(1);
    assert_eq!(
        client.users("").await.problem(),
        "429 Tenant Quota has been exhausted"
    );
    assert_eq!(client.users("").await.status, 200);
}

#[tokio::test]
async fn a_forbidden_service_is_refused_and_the_others_are_not() {
    let client = Client::new(settled(), &small()).await;
    client.sim.forbid_service("user");
    assert_eq!(client.users("").await.status, 403);
    let queues = client
        .search("/api/admin/match/v1", "", &week("QUEUE"))
        .await;
    assert_eq!(queues.status, 200);
    client.sim.allow_service("user");
    assert_eq!(client.users("").await.status, 200);
}

#[tokio::test]
async fn faults_and_counters_know_the_services_apart() {
    let client = Client::new(settled(), &small()).await;
    let fault = Fault::Status {
        status: 500,
        retry_after: Some("3".to_owned()),
    };
    client.sim.faults().next(endpoint::MATCH, 1, fault);
    assert_eq!(client.users("").await.status, 200);
    let failed = client
        .search("/api/admin/match/v1", "", &week("QUEUE"))
        .await;
    assert_eq!(
        failed.problem(),
        "500 An internal server error was encountered."
    );
    assert_eq!(failed.headers["retry-after"], "3");
    let counters = client.sim.counters();
    let calls = [endpoint::TOKEN, endpoint::USER, endpoint::MATCH].map(|name| counters.calls(name));
    assert_eq!((calls, client.sim.searches()), ([1, 1, 1], 2));
}
