#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::PartitionColumn;
use crate::providers::{PROVIDERS, SignIn};

/// A minimal file.
const LEAST: &str = "\
lake: {url: memory://}
connections:
  prod:
    provider: genesys_cloud
    region: us-east-1
    client_id: id
    client_secret: s3cret
jobs:
  - name: audits
    connection: prod
    schedule: '@hourly'
    start: 2026-01-01
";

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "GENESYS_CLIENT_ID" => "the-id",
        "GENESYS_CLIENT_SECRET" => "a: [secret, 'with'] #syntax",
        "AVAYA_ACCOUNT_ID" => "ABCDEF",
        "LIVEPERSON_ACCOUNT_ID" => "le12345678",
        name if ["AVAYA_", "LIVEPERSON_", "EVERYWARE_"]
            .iter()
            .any(|own| name.starts_with(own))
            && ["KEY", "ID", "SECRET", "USERNAME", "PASSWORD"]
                .iter()
                .any(|what| name.ends_with(what)) =>
        {
            "a-credential"
        }
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse("jobs.yaml", text, &environment)
}

/// Returns the problems of the least file with one text replaced by another.
fn problems_with(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from), "{from}");
    problems(&LEAST.replacen(from, to, 1))
}

fn problems(text: &str) -> String {
    parse(text).map_or_else(|problems| problems.to_string(), |_| "no problem".to_owned())
}

fn repository_file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

#[test]
fn the_least_file_gets_the_defaults() {
    let config = parse(LEAST).unwrap();
    let LakeConfig {
        storage_options,
        partition_by,
        target_file_size,
        ..
    } = config.lake;
    assert!(storage_options.is_empty());
    assert_eq!(
        partition_by,
        [PartitionColumn::Provider, PartitionColumn::EventDate]
    );
    assert_eq!(target_file_size, 134_217_728);
    insta::assert_snapshot!(format!("{:?}", config.server), @"ServerConfig { listen: 127.0.0.1:8080, replicas: 1, shutdown_grace: 25s, allowed_hosts: [] }");
    let connection = &config.connections["prod"];
    assert_eq!(connection.rate_limit.to_string(), "300/min");
    assert_eq!(
        connection.endpoint.api.known().unwrap().as_str(),
        "https://api.mypurecloud.com/"
    );
    assert_eq!(connection.endpoint.trusted_hosts, ["mypurecloud.com"]);
    assert_eq!(
        (
            connection.allow_http,
            &connection.account_id,
            &connection.ca_file
        ),
        (false, &None, &None)
    );
    insta::assert_snapshot!(format!("{:?}", config.jobs), @r#"[JobConfig { name: "audits", log: "audits", connection: "prod", schedule: CronSchedule(@hourly (UTC)), start: 2026-01-01T00:00:00Z, window: TimeDelta { secs: 3600, nanos: 0 }, min_window: TimeDelta { secs: 60, nanos: 0 }, lag: TimeDelta { secs: 120, nanos: 0 }, settle: [TimeDelta { secs: 3600, nanos: 0 }, TimeDelta { secs: 86400, nanos: 0 }], max_staleness: None, adapter: Genesys { options: GenesysOptions { mode: Auto, services: [], filters: [], realtime_days: 14, realtime_page_size: 500 } } }]"#);
}

#[test]
fn the_jobs_yaml_of_this_repository_is_valid() {
    let config = parse(&repository_file("jobs.yaml")).unwrap();
    assert_eq!(config.lake.url, "file://./lake");
    assert_eq!(
        config.lake.partition_by,
        [PartitionColumn::Provider, PartitionColumn::EventDate]
    );
    let connection = &config.connections["genesys-prod"];
    let SignIn::ClientCredentials {
        token_url,
        client_id,
        client_secret,
        ..
    } = &connection.endpoint.sign_in
    else {
        panic!("{connection:?}");
    };
    assert_eq!(
        token_url.known().unwrap().as_str(),
        "https://login.mypurecloud.com/oauth/token"
    );
    assert_eq!(client_id.reveal().unwrap(), "the-id");
    assert_eq!(
        client_secret.reveal().unwrap(),
        "a: [secret, 'with'] #syntax"
    );
    assert_eq!(
        connection.endpoint.trusted_hosts,
        ["api.mypurecloud.com", "login.mypurecloud.com"]
    );
}

#[test]
fn a_file_is_loaded_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.yaml");
    std::fs::write(&path, LEAST).unwrap();
    assert_eq!(
        Config::load(&ConfigSource::File(path)).unwrap().jobs.len(),
        1
    );
    assert_eq!(
        (ConfigSource::from("-"), ConfigSource::Stdin.to_string()),
        (ConfigSource::Stdin, "<stdin>".to_owned())
    );
}

#[test]
fn ten_mistakes_are_ten_problems() {
    insta::assert_snapshot!(problems("\
lake:
  url: s4://bucket
  partition_by: [provider, evnt_date, provider]
  target_file_size: 2GiB
server: {listen: localhost, replicas: 0}
defaults:
  settle: 1h
connections:
  prod:
    provider: genesys_cloud
    region: us-est-1
    cleint_id: abc
    client_secret: ${NOT_SET}
    rate_limit: fast
  other:
    provider: genesis_cloud
    secret: x
jobs:
  - name: genesys audits
    connection: pord
    shedule: '@hourly'
    timezone: Mars/Olympus
    start: yesterday
    window: 1 hour
    options: {mode: batch, filters: [{property: User, value: 1}], service: []}
  - name: b
    connection: prod
    schedule: 0 0 30 2 *
    options: []
x-note: mine
jbos: []
"), @"
    jobs.yaml:2:8: invalid `url`: `s4://bucket` has a scheme that no store has; write `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///absolute`, `file://./relative` or `memory://`
    jobs.yaml:3:28: unknown `partition_by` `evnt_date`; did you mean `event_date`? valid: provider, connection, account_id, event_date, event_month, event_hour
    jobs.yaml:3:39: `partition_by` names `provider` twice
    jobs.yaml:4:21: invalid `target_file_size`: `2GiB` is out of bounds; write a size from `1MiB` to `1GiB`
    jobs.yaml:5:18: invalid `listen`: `localhost` isn't an address and port; write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`
    jobs.yaml:5:39: invalid `replicas`: `0` isn't a whole number from 1 to 1000
    jobs.yaml:7:11: `settle` must be a list, not a single value; write `[a, b]`
    jobs.yaml:11:13: unknown `region` `us-est-1`; did you mean `us-east-1`? valid: us-east-1, us-east-2, us-west-2, ca-central-1, mx-central-1, sa-east-1, eu-west-1, eu-west-2, eu-central-1, eu-central-2, eusc-de-east-1, me-central-1, ap-south-1, ap-southeast-1, ap-southeast-2, ap-northeast-1, ap-northeast-2, ap-northeast-3
    jobs.yaml:12:5: unknown key `cleint_id` in connection `prod`; did you mean `client_id`? valid keys: provider, account_id, rate_limit, proxy, ca_file, allow_http, allowed_hosts, region, base_url, login_url, client_id, client_secret
    jobs.yaml:13:20: `client_secret` needs the environment variable `NOT_SET`, which isn't set; set it, or write `${file:PATH}`
    jobs.yaml:14:17: invalid `rate_limit`: `fast` isn't a rate; write `300/min`, `10/s` or `5000/h`
    jobs.yaml:16:15: unknown `provider` `genesis_cloud`; did you mean `genesys_cloud`? valid: genesys_cloud, avaya_axp, liveperson, everyware_cloud
    jobs.yaml:19:11: invalid `name`: `genesys audits` isn't made of up to 64 letters, digits, `_`, `.` and `-`, the first of them a letter or digit
    jobs.yaml:20:17: unknown `connection` `pord`; did you mean `prod`? valid: other, prod
    jobs.yaml:21:5: unknown key `shedule` in a job; did you mean `schedule`? valid keys: name, connection, schedule, timezone, start, window, min_window, lag, settle, max_staleness, options, log
    jobs.yaml:22:15: invalid `timezone`: `Mars/Olympus` isn't an IANA time zone; write `UTC` or a name like `Europe/Berlin`
    jobs.yaml:23:12: invalid `start`: `yesterday` isn't a time; write a UTC date (`2026-01-01`) or RFC 3339 (`2026-01-01T08:00:00Z`)
    jobs.yaml:24:13: invalid `window`: `1 hour` isn't a duration; write `90s`, `15m`, `1h`, `1d` or `1h30m`
    jobs.yaml:26:5: job `b` lacks the key `start`
    jobs.yaml:28:15: invalid `schedule`: `0 0 30 2 *` never fires: no date matches it
    jobs.yaml:29:14: `options` of job `b` must be a mapping of keys, not a list
    jobs.yaml:31:1: unknown key `jbos` in the configuration; did you mean `jobs`? valid keys: lake, server, defaults, connections, jobs
    ");
}

#[test]
fn what_is_no_configuration_says_so() {
    insta::assert_snapshot!(problems(""), @"jobs.yaml:1:1: the configuration is empty; it needs `lake`, `connections` and `jobs`");
    insta::assert_snapshot!(problems("# nothing\n"), @"jobs.yaml:2:1: the configuration is empty; it needs `lake`, `connections` and `jobs`");
    insta::assert_snapshot!(problems("- a\n"), @"jobs.yaml:1:1: the configuration must be a mapping of keys, not a list");
    insta::assert_snapshot!(problems("lake: [\n"), @"jobs.yaml:1:7: this can't be read as YAML: unclosed bracket '['");
    insta::assert_snapshot!(problems("lake: 1\nconnections: []\njobs: {}\nserver: 5\ndefaults: x\n"), @"
    jobs.yaml:1:7: `lake` must be a mapping of keys, not a single value
    jobs.yaml:2:14: `connections` must be a mapping of keys, not a list
    jobs.yaml:3:7: `jobs` must be a list, not a mapping; write `[a, b]`
    jobs.yaml:4:9: `server` must be a mapping of keys, not a single value
    jobs.yaml:5:11: `defaults` must be a mapping of keys, not a single value
    ");
    insta::assert_snapshot!(problems("lake:\nconnections: {}\njobs: []\nlake: {url: x}\n"), @"
    jobs.yaml:1:1: `lake` in the configuration has no value
    jobs.yaml:3:7: `jobs` is empty; there is nothing to pull
    jobs.yaml:4:1: the key `lake` stands here for the second time, after line 1; keep one of them
    ");
    let missing = Config::load(&ConfigSource::from("/no/such/jobs.yaml")).unwrap_err();
    insta::assert_snapshot!(missing, @"/no/such/jobs.yaml: the configuration can't be read: there is none; name another with `-c FILE`");
}

#[test]
fn hosts_need_a_region_or_both_urls() {
    let with = |keys: &str| problems_with("region: us-east-1", keys);
    insta::assert_snapshot!(with("x-region: none"), @"jobs.yaml:4:5: connection `prod` lacks the key `region` (or `base_url` and `login_url`, for any other host)");
    insta::assert_snapshot!(with("base_url: https://h"), @"jobs.yaml:4:5: connection `prod` has `base_url` but lacks `login_url`; without a `region` both are needed");
    insta::assert_snapshot!(with("region: us-east-1\n    login_url: https://h"), @"jobs.yaml:5:13: connection `prod` has a `region` and a `base_url` or `login_url`; keep the one or the other");
    insta::assert_snapshot!(with("base_url: http://h\n    login_url: https://user:hunter2@h"), @"
    jobs.yaml:5:15: invalid `base_url`: `http://h` isn't https, so credentials would travel in the clear; write `https://`, or set `allow_http: true` on this connection
    jobs.yaml:6:16: `login_url` holds a user or a password; give them in keys of their own
    ");
    insta::assert_snapshot!(with("base_url: http://h:1\n    login_url: http://h:1\n    allow_http: 'true'"), @"no problem");
    insta::assert_snapshot!(with("region: ${EMPTY}\n    base_url: https://h\n    login_url: https://h"), @"no problem");
}

#[test]
fn a_regions_hosts_are_trusted_and_those_allowed() {
    let config = parse(&LEAST.replace(
        "region: us-east-1",
        "region: eu-west-2\n    allowed_hosts: [.Example.com]",
    ));
    let endpoint = config.unwrap().connections.remove("prod").unwrap().endpoint;
    assert_eq!(
        endpoint.api.known().unwrap().as_str(),
        "https://api.euw2.pure.cloud/"
    );
    assert_eq!(endpoint.trusted_hosts, ["euw2.pure.cloud", "example.com"]);
    let SignIn::ClientCredentials { token_url, .. } = endpoint.sign_in else {
        panic!("{endpoint:?}");
    };
    assert_eq!(
        token_url.known().unwrap().as_str(),
        "https://login.euw2.pure.cloud/oauth/token"
    );
}

#[test]
fn a_lake_is_checked() {
    let with = |keys: &str| problems_with("{url: memory://}", &format!("{{url: {keys}}}"));
    for url in [
        "s3://bucket",
        "s3://bucket/a/b",
        "gs://b",
        "az://c/p",
        "file:///lake",
        "file://./lake",
        "file://../x",
    ] {
        assert_eq!(with(url), "no problem");
    }
    insta::assert_snapshot!(with("s3:///x"), @"jobs.yaml:1:13: invalid `url`: `s3:///x` names no place in a store; write `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///absolute`, `file://./relative` or `memory://`");
    insta::assert_snapshot!(with("file://lake"), @"jobs.yaml:1:13: invalid `url`: `file://lake` names no place in a store; write `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///absolute`, `file://./relative` or `memory://`");
    insta::assert_snapshot!(with("s3://key:hunter2@bucket"), @"jobs.yaml:1:13: the lake's `url` holds a user or a password; give credentials in `storage_options` or the environment");
    insta::assert_snapshot!(with("s3://b, storage_options: {aws_regoin: x, aws_endpoint: '${EMPTY}'}"), @"jobs.yaml:1:39: unknown key `aws_regoin` in `storage_options` of a lake at `s3://`; valid are the keys that object_store has for it, like aws_endpoint, aws_region, aws_allow_http, aws_access_key_id");
    insta::assert_snapshot!(with("memory://, partition_by: [provider]"), @"jobs.yaml:1:38: `partition_by` needs event_date or event_month: without either, every file of a job would be read to find out which events the lake already has");
    assert_eq!(
        with("s3://b, storage_options: {aws_region: x, aws_allow_http: true}"),
        "no problem"
    );
}

#[test]
fn a_connection_is_checked() {
    let with = |keys: &str| {
        problems_with(
            "region: us-east-1",
            &format!("region: us-east-1\n    {keys}"),
        )
    };
    insta::assert_snapshot!(with("proxy: socks5://user:hunter2@h"), @"jobs.yaml:6:12: invalid `proxy`: a `socks5` proxy isn't supported, only an http or https one; write `http://host:port` or `http://user:password@host:port`");
    insta::assert_snapshot!(with("ca_file: /no/such.pem"), @"jobs.yaml:6:14: invalid `ca_file`: `/no/such.pem` can't be read: there is none");
    insta::assert_snapshot!(with("allowed_hosts: [https://x]"), @"jobs.yaml:6:21: invalid `allowed_hosts`: `https://x` isn't a host name; write `example.com`, which includes its subdomains");
    insta::assert_snapshot!(with("allow_http: maybe"), @"jobs.yaml:6:17: invalid `allow_http`: `maybe` is neither `true` nor `false`");
    assert_eq!(with("proxy: http://user:hunter2@h:3128"), "no problem");
    assert_eq!(with("proxy: ${EMPTY}"), "no problem");
    insta::assert_snapshot!(problems_with("client_secret: s3cret", "client_secret: ${file:/no/such}"), @"jobs.yaml:7:20: `client_secret` needs the file `/no/such`, which can't be read: there is none");
    insta::assert_snapshot!(problems_with("client_secret: s3cret", "client_secret: ''"), @"jobs.yaml:7:20: `client_secret` is empty");
    insta::assert_snapshot!(problems_with("genesys_cloud", "avaya"), @"jobs.yaml:4:15: unknown `provider` `avaya`; valid: genesys_cloud, avaya_axp, liveperson, everyware_cloud");
    insta::assert_snapshot!(problems_with("  prod:", "  pr/od:"), @"
    jobs.yaml:3:3: invalid name of a connection: `pr/od` isn't made of up to 64 letters, digits, `_`, `.` and `-`, the first of them a letter or digit
    jobs.yaml:10:17: unknown `connection` `prod`; did you mean `pr/od`? valid: pr/od
    ");
}

#[test]
fn a_job_is_checked() {
    let with = |keys: &str| problems_with("schedule: '@hourly'", keys);
    insta::assert_snapshot!(with("schedule: never"), @"jobs.yaml:11:15: invalid `schedule`: `never` isn't a cron expression of 5 or 6 fields (`*/15 * * * *`), nor one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly");
    insta::assert_snapshot!(with("schedule: '@hourly'\n    window: 1m\n    min_window: 1h"), @"jobs.yaml:13:17: `min_window` of job `audits` is larger than its `window`");
    insta::assert_snapshot!(with("schedule: '@hourly'\n    options: {services: [a b], realtime_days: 0}"), @"
    jobs.yaml:12:26: invalid `services`: `a b` isn't the name of a service; `auditlake services` lists those of a connection
    jobs.yaml:12:47: invalid `realtime_days`: `0` isn't a whole number from 1 to 365
    ");
    insta::assert_snapshot!(with("x-schedule: '@hourly'"), @"jobs.yaml:9:5: job `audits` lacks the key `schedule`");
    assert_eq!(with("schedule: '@hourly'\n    settle: []"), "no problem");
    assert_eq!(
        with("schedule: '@hourly'\n    max_staleness: 6h"),
        "no problem"
    );
    insta::assert_snapshot!(with("schedule: '@hourly'\n    max_staleness: soon"), @"jobs.yaml:12:20: invalid `max_staleness`: `soon` isn't a duration; write `90s`, `15m`, `1h`, `1d` or `1h30m`");
    insta::assert_snapshot!(with("schedule: '@hourly'\n    max_staleness: 0s"), @"jobs.yaml:12:20: invalid `max_staleness`: `0s` is zero; write at least `1s`");
    insta::assert_snapshot!(with("schedule: '@hourly'\n    max_staleness: 2m"), @"jobs.yaml:12:20: `max_staleness` of job `audits` is not longer than its `lag`, so it would always be stale");
    insta::assert_snapshot!(with("schedule: '@hourly'\n    max_staleness: 1h\n    lag: 1h"), @"jobs.yaml:13:10: `max_staleness` of job `audits` is not longer than its `lag`, so it would always be stale");
    assert_eq!(with("schedule: '@hourly'\n    window: 30s"), "no problem");
    let name = |name: &str| problems_with("name: audits", &format!("name: {name}"));
    insta::assert_snapshot!(name("a-0190c0de-0000-7000-8000-000000000000-1"), @"jobs.yaml:9:11: invalid `name`: `a-0190c0de-0000-7000-8000-000000000000-1` ends like the name of one of the lake's files, `-<run>-<n>`; give it another end");
    insta::assert_snapshot!(name("-a"), @"jobs.yaml:9:11: invalid `name`: `-a` isn't made of up to 64 letters, digits, `_`, `.` and `-`, the first of them a letter or digit");
    assert_eq!(name("1.a_b-C"), "no problem");
    assert_eq!(name("123"), "no problem");
}

#[test]
fn defaults_hold_for_jobs_that_do_not_say_otherwise() {
    let text = LEAST.replace(
        "    schedule: '@hourly'\n    start: 2026-01-01\n",
        "    lag: 5m\n",
    );
    let defaults = "defaults: {schedule: '@daily', timezone: Europe/Berlin, start: 2026-02-01, window: 2h, lag: 1h, settle: [2d, 1h, 1h], max_staleness: 2d}\n";
    let config = parse(&format!("{text}{defaults}")).unwrap();
    let job = &config.jobs[0];
    assert_eq!(job.schedule.to_string(), "@daily (Europe/Berlin)");
    assert_eq!(job.start.to_rfc3339(), "2026-02-01T00:00:00+00:00");
    assert_eq!((job.window.num_hours(), job.lag.num_minutes()), (2, 5));
    let settle: Vec<i64> = job
        .settle
        .iter()
        .map(chrono::TimeDelta::num_hours)
        .collect();
    assert_eq!(settle, [1, 48]);
    assert_eq!(job.max_staleness, Some(chrono::TimeDelta::days(2)));
}

#[test]
fn two_jobs_may_not_pull_the_same_stream() {
    let second = |connection: &str, options: &str| {
        let job = format!(
            "  - {{name: second, connection: {connection}, schedule: '@daily', start: 2026-01-01, options: {options}}}\n"
        );
        let more = "  same: {provider: genesys_cloud, region: us-east-1, client_id: id, client_secret: x}\n  other: {provider: genesys_cloud, region: us-east-1, client_id: id2, client_secret: x}\n";
        let first = LEAST
            .replace("connections:\n", &format!("connections:\n{more}"))
            .replace(
                "start: 2026-01-01\n",
                "start: 2026-01-01\n    options: {services: [Routing, Quality]}\n",
            );
        problems(&(first + &job))
    };
    insta::assert_snapshot!(second("prod", "{}"), @"jobs.yaml:16:5: job `second` pulls what job `audits` pulls already, `Quality`, `Routing` of the same account; let each stream be pulled by one job only, whatever the filters");
    insta::assert_snapshot!(second("same", "{services: [Quality, Groups], filters: [{property: Action, value: x}]}"), @"jobs.yaml:16:5: job `second` pulls what job `audits` pulls already, `Quality` of the same account; let each stream be pulled by one job only, whatever the filters");
    assert_eq!(second("prod", "{services: [Groups]}"), "no problem");
    assert_eq!(second("other", "{}"), "no problem");
}

#[test]
fn names_are_unique() {
    let job = &LEAST[LEAST.find("  - name").unwrap()..];
    insta::assert_snapshot!(problems(&format!("{LEAST}{job}")), @"jobs.yaml:13:11: the name `audits` is taken by the job in line 9; give each job its own");
}

#[test]
fn a_job_may_name_its_log_and_no_two_jobs_share_one() {
    let second = |keys: &str| {
        let prod = LEAST.replace(
            "    start: 2026-01-01\n",
            "    start: 2026-01-01\n    options: {services: [Routing]}\n",
        );
        let job = "  - {connection: prod, schedule: '@hourly', start: 2026-01-01, options: {services: [Groups]}, KEYS}\n";
        format!("{prod}{}", job.replace("KEYS", keys))
    };
    let logs = |keys: &str| -> Vec<(String, String)> {
        let config = parse(&second(keys)).unwrap();
        let jobs = config.jobs.into_iter();
        jobs.map(|job| (job.name, job.log)).collect()
    };
    let pair = |name: &str, log: &str| (name.to_owned(), log.to_owned());
    let audits = pair("audits", "audits");
    assert_eq!(
        logs("name: new, log: old"),
        [audits.clone(), pair("new", "old")]
    );
    for unset in ["name: new", "name: new, log: ''", "name: new, log: ~"] {
        assert_eq!(logs(unset), [audits.clone(), pair("new", "new")]);
    }
    let problem = |keys: &str| problems(&second(keys));
    insta::assert_snapshot!(problem("name: new, log: audits"), @"jobs.yaml:14:111: the log `audits` is that of the job in line 9; two jobs can't share a log");
    insta::assert_snapshot!(problem("name: new, log: a/b"), @"jobs.yaml:14:111: invalid `log`: `a/b` isn't made of up to 64 letters, digits, `_`, `.` and `-`, the first of them a letter or digit");
    insta::assert_snapshot!(problem("name: new, log: ../audits"), @"jobs.yaml:14:111: invalid `log`: `../audits` isn't made of up to 64 letters, digits, `_`, `.` and `-`, the first of them a letter or digit");
    insta::assert_snapshot!(problem("name: new, log: old-0199d1f0-0000-7000-8000-000000000001-3"), @"jobs.yaml:14:111: invalid `log`: `old-0199d1f0-0000-7000-8000-000000000001-3` ends like the name of one of the lake's files, `-<run>-<n>`; give it another end");
    insta::assert_snapshot!(problem("name: new, log: [a]"), @"jobs.yaml:14:111: `log` must be a single value, not a list");
    // the log of a later job
    let swapped =
        second("name: new").replace("  - name: audits\n", "  - name: audits\n    log: new\n");
    insta::assert_snapshot!(problems(&swapped), @"jobs.yaml:15:5: job `new` has no `log`, and the log `new` is that of the job in line 10; give it a `log` of its own");
}

#[test]
fn anchors_merges_and_own_keys_work() {
    let text = "\
x-job: &job
  schedule: '@hourly'
  start: 2026-01-01
lake: {url: memory://, x-why: tests}
connections:
  x-common: &common {provider: genesys_cloud, client_secret: s}
  a: {<<: *common, region: us-east-1, client_id: 1}
  b: {<<: *common, region: us-west-2, client_id: 02}
jobs:
  - {<<: *job, name: a, connection: a}
  - {<<: *job, name: b, connection: b, schedule: '@daily'}
";
    let config = parse(text).unwrap();
    let names: Vec<&String> = config.connections.keys().collect();
    assert_eq!(names, ["a", "b"]);
    let SignIn::ClientCredentials { client_id, .. } = &config.connections["b"].endpoint.sign_in
    else {
        panic!("{config:?}");
    };
    assert_eq!(client_id.reveal().unwrap(), "02");
    assert_eq!(config.jobs[1].schedule.expression(), "@daily");
    // a mistake in a shared value is reported once, at the value
    insta::assert_snapshot!(problems(&text.replace("2026-01-01", "soon")), @"jobs.yaml:3:10: invalid `start`: `soon` isn't a time; write a UTC date (`2026-01-01`) or RFC 3339 (`2026-01-01T08:00:00Z`)");
}

#[test]
fn no_secret_shows_in_debug() {
    let config = parse(&LEAST.replace(
        "memory://",
        "s3://b, storage_options: {aws_secret_access_key: s3cret}",
    ));
    assert!(!format!("{config:?}").contains("s3cret"));
}

mod schema_file {
    use super::*;

    #[test]
    fn is_up_to_date() {
        let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        compare_or_update("docs/jobs.schema.json", &current);
    }

    #[test]
    fn the_tables_of_keys_are_up_to_date() {
        const END: &str = "\n<!-- end of keys -->\n";
        let path = "docs/configuration.md";
        let stored = repository_file(path);
        let tables = schema::tables();
        let mut current = stored.clone();
        for (name, table) in &tables {
            let begin = format!("<!-- keys: {name} -->\n");
            let (before, rest) = current.split_once(&begin).expect(name);
            let (_, after) = rest.split_once(END).expect(name);
            current = format!("{before}{begin}\n{table}{END}{after}");
        }
        assert_eq!(current.matches("<!-- keys: ").count(), tables.len());
        compare_or_update(path, &current);
    }

    fn compare_or_update(path: &str, current: &str) {
        if std::env::var_os("UPDATE").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            std::fs::write(path, current).unwrap();
        } else {
            assert!(
                repository_file(path) == current,
                "{path} is stale; run the tests with UPDATE=1"
            );
        }
    }

    /// Returns the keys without which a connection of each provider is invalid.
    fn least_connections() -> [Value; 4] {
        [
            json!({"provider": "genesys_cloud", "region": "us-east-1", "client_id": "id", "client_secret": "s3cret"}),
            json!({
                "provider": "avaya_axp", "account_id": "ABCDEF", "region": "na", "app_key": "key", "client_id": "id",
                "client_secret": "s3cret",
            }),
            json!({"provider": "liveperson", "account_id": "1", "client_id": "id", "client_secret": "s3cret"}),
            json!({"provider": "everyware_cloud", "username": "user", "password": "s3cret"}),
        ]
    }

    /// Returns the valid keys at a place, as listed in a message.
    fn keys_read(with_unknown: &str, place: &str) -> Vec<String> {
        let problems = problems(with_unknown);
        let listed = problems.lines().find_map(|line| {
            let at =
                line.split_once(&format!("unknown key `zzzzzzzz` in {place}; valid keys: "))?;
            Some(at.1.split(", ").map(str::to_owned).collect::<Vec<String>>())
        });
        let mut keys = listed.unwrap_or_else(|| panic!("{place}: {problems}"));
        keys.sort();
        keys
    }

    fn keys_described(schema: &Value) -> Vec<String> {
        let mut keys: Vec<String> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        keys.sort();
        keys
    }

    #[test]
    fn has_the_keys_that_are_read() {
        let schema = schema();
        let top = &schema["properties"];
        let job = &top["jobs"]["items"];
        let filter = &job["properties"]["options"]["anyOf"][0]["properties"]["filters"]["items"];
        for (text, place, described) in [
            ("zzzzzzzz: 1", "the configuration", &schema),
            ("lake: {zzzzzzzz: 1}", "`lake`", &top["lake"]),
            ("server: {zzzzzzzz: 1}", "`server`", &top["server"]),
            ("defaults: {zzzzzzzz: 1}", "`defaults`", &top["defaults"]),
            ("jobs: [{zzzzzzzz: 1}]", "a job", job),
            (
                "connections: {c: {provider: genesys_cloud}}\njobs: [{name: j, connection: c, options: {filters: [{zzzzzzzz: 1}]}}]",
                "a filter",
                filter,
            ),
        ] {
            assert_eq!(keys_read(text, place), keys_described(described), "{place}");
        }
        for (index, spec) in PROVIDERS.iter().enumerate() {
            let connection = &top["connections"]["additionalProperties"]["oneOf"][index];
            let options = &job["properties"]["options"]["anyOf"][index];
            let text = format!(
                "connections: {{c: {{provider: {}, zzzzzzzz: 1}}}}\njobs: [{{name: j, connection: c, options: {{zzzzzzzz: 1}}}}]",
                spec.name
            );
            for (place, described) in [
                ("connection `c`", connection),
                ("`options` of job `j`", options),
            ] {
                assert_eq!(
                    keys_read(&text, place),
                    keys_described(described),
                    "{place}"
                );
            }
        }
    }

    #[test]
    fn has_the_defaults_that_hold() {
        let schema = schema();
        let top = &schema["properties"];
        let defaults = |schema: &Value| -> Value {
            let keys = schema["properties"].as_object().unwrap();
            let defaults = keys
                .iter()
                .filter_map(|(key, schema)| Some((key.clone(), schema.get("default")?.clone())));
            Value::Object(defaults.collect())
        };
        let job = &top["jobs"]["items"];
        let mut lake = defaults(&top["lake"]);
        lake["url"] = json!("memory://");
        for (index, least) in least_connections().into_iter().enumerate() {
            let mut connection =
                defaults(&top["connections"]["additionalProperties"]["oneOf"][index]);
            let given = least.as_object().unwrap().clone();
            connection.as_object_mut().unwrap().extend(given);
            let one = json!({"name": "audits", "connection": "prod", "schedule": "@hourly", "start": "2026-01-01"});
            let mut job_with_options = one.clone();
            job_with_options["options"] = defaults(&job["properties"]["options"]["anyOf"][index]);
            let implicit = json!({
                "lake": {"url": "memory://"}, "connections": {"prod": least}, "jobs": [one],
            });
            let explicit = json!({
                "lake": lake,
                "server": defaults(&top["server"]),
                "defaults": defaults(&top["defaults"]),
                "connections": {"prod": connection},
                "jobs": [job_with_options],
            });
            let [implicit, explicit] =
                [implicit, explicit].map(|file| parse(&file.to_string()).unwrap());
            assert_eq!(format!("{explicit:?}"), format!("{implicit:?}"));
            // the adapter for commands without a job has the defaults, too
            let adapter = (PROVIDERS[index].default_adapter)();
            assert_eq!(
                format!("{adapter:?}"),
                format!("{:?}", implicit.jobs[0].adapter)
            );
        }
    }

    /// Returns the parts of `value` that the schema refuses. Supports the JSON Schema keywords that this schema uses.
    fn refused(schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let mut refused_here = Vec::new();
        let alternatives = ["oneOf", "anyOf"]
            .iter()
            .find_map(|key| schema.get(key)?.as_array());
        if let Some(alternatives) = alternatives {
            let each = alternatives
                .iter()
                .map(|schema| refused(schema, value, place));
            refused_here.extend(each.min_by_key(Vec::len).unwrap_or_default());
        }
        // of the patterns, only that of references is checked
        if schema.get("pattern") == Some(&json!(r"\$\{"))
            && !value.as_str().is_some_and(|text| text.contains("${"))
        {
            refused_here.push(format!("{place}: {value} isn't a reference"));
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array)
            && !choices.contains(value)
        {
            refused_here.push(format!("{place}: {value} is none of {choices:?}"));
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let kinds = match schema.get("type") {
            None => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            Some(one) => vec![one.as_str().unwrap()],
        };
        let integer = kind == "number" && kinds.contains(&"integer");
        if !integer && !kinds.contains(&kind) {
            refused_here.push(format!("{place}: {kind} is none of {kinds:?}"));
        }
        for item in value.as_array().into_iter().flatten() {
            refused_here.extend(refused(&schema["items"], item, place));
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            let place = format!("{place}.{key}");
            let extension = key.starts_with("x-") && schema.get("patternProperties").is_some();
            match (
                schema["properties"].get(key),
                schema.get("additionalProperties"),
            ) {
                (Some(schema), _) => refused_here.extend(refused(schema, value, &place)),
                (None, Some(schema)) if schema.is_object() => {
                    refused_here.extend(refused(schema, value, &place));
                }
                (None, Some(Value::Bool(false))) if !extension => refused_here.push(place),
                _ => {}
            }
        }
        for key in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if value.is_object() && value.get(key.as_str().unwrap()).is_none() {
                refused_here.push(format!("{place} lacks {key}"));
            }
        }
        refused_here
    }

    #[test]
    fn accepts_the_jobs_yaml_of_this_repository() {
        let schema = schema();
        let file: Value = serde_saphyr::from_str(&repository_file("jobs.yaml")).unwrap();
        assert_eq!(refused(&schema, &file, ""), Vec::<String>::new());
        let wrong = json!({"lake": {"ulr": "x", "partition_by": ["date"]}, "x-a": 1, "connections": {}, "jobs": []});
        assert_eq!(refused(&schema, &wrong, "").len(), 3);
    }
}

proptest! {
    #[test]
    fn it_never_panics(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn it_never_panics_on_a_broken_file(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), "[-\\[\\]{}:,&*!|>'\"%@`#$~ \na0é]{0,4}", 0_usize..8), 1..4),
    ) {
        let mut text: Vec<char> = repository_file("jobs.yaml").chars().collect();
        for (at, insert, drop) in cuts {
            let from = at.index(text.len());
            let to = (from + drop).min(text.len());
            text.splice(from..to, insert.chars());
        }
        let text: String = text.into_iter().collect();
        match parse(&text) {
            Ok(config) => prop_assert!(!config.jobs.is_empty()),
            Err(problems) => {
                prop_assert!(!problems.problems.is_empty());
                let lines = problems.to_string().lines().count();
                prop_assert_eq!(lines, problems.problems.len());
            }
        }
    }

    #[test]
    fn no_syntax_error_shows_a_secret(before in "[-!\\[\\]{}:,&*|>'\"%@`#?~ \n]{0,4}", after in "[\\[\\]{},'\" \n]{0,2}") {
        for tag in ["", "!!int ", "!!float ", "!!bool ", "!!binary ", "!!null ", "!!seq ", "!x "] {
            let text = LEAST.replace("s3cret", &format!("{tag}'{before}hunter2{after}"));
            let plain = LEAST.replace("s3cret", &format!("{tag}{before}hunter2{after}"));
            for text in [text, plain] {
                let shown = problems(&text);
                // a separate line is a key, or half of one
                prop_assert!(before.contains('\n') || !shown.contains("hunter2"), "{text}: {shown}");
            }
        }
    }

    #[test]
    fn no_problem_shows_a_secret(key in prop::sample::select(&["client_id", "client_secret", "region", "rate_limit", "proxy", "allow_http", "ca_file"][..])) {
        let text = LEAST.replace("client_secret: s3cret", &format!("client_secret: ${{PW}}\n    x-{key}: 1"))
            .replace("region: us-east-1", "")
            + "server: {listen: '${PW}', replicas: '${PW}'}\n"
            + "defaults: {lag: '${PW}', schedule: '${PW}', settle: ['x${PW}']}\n";
        let text = text.replace(&format!("x-{key}: 1"), &format!("{key}: '${{PW}} '"));
        let problems = Config::parse("jobs.yaml", &text, &|_| Some("hunter2".to_owned())).unwrap_err();
        prop_assert!(!problems.to_string().contains("hunter2"), "{}", problems);
    }
}
