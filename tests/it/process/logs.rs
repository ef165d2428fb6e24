//! What is logged, and what never is.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::support::{EVENING, World, files, one_day};

#[tokio::test]
async fn every_json_line_parses_and_a_run_is_one_span() {
    let world = World::new(&one_day(), EVENING).await;
    world.change("start:", "window: 6h\n    start:");
    let ended = world
        .run(&[
            "--log-format",
            "json",
            "-vv",
            "run",
            "--once",
            "--as-of",
            EVENING,
        ])
        .await
        .assert_code(0);
    let lines: Vec<serde_json::Value> = ended
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let runs: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["span"].as_object())
        .filter(|span| span["name"] == "run")
        .inspect(|span| assert_eq!(span["job"], "audits"))
        .map(|span| span["run"].as_str().unwrap())
        .collect();
    assert!(!runs.is_empty());
    assert!(runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    assert!(
        !ended.stdout.contains("INFO"),
        "results only: {}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_failure_is_a_json_line_too() {
    let world = World::new(&one_day(), EVENING).await;
    world.change("sim-secret", "wrong");
    let ended = world
        .run(&["--log-format", "json", "run", "--once", "--as-of", EVENING])
        .await
        .assert_code(1);
    let message: Vec<serde_json::Value> = ended
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let failure = message
        .iter()
        .find(|line| line["level"] == "ERROR")
        .unwrap();
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .contains("job `audits` failed (auth)"),
        "{failure}"
    );
}

#[tokio::test]
async fn text_logs_have_no_colours_where_there_is_no_terminal() {
    let world = World::new(&one_day(), EVENING).await;
    world.change("start:", "window: 1d\n    start:");
    let ended = world
        .run(&["-v", "run", "--once", "--as-of", EVENING])
        .await
        .assert_code(0);
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("run{job=\"audits\" run="),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn secrets_are_nowhere() {
    let world = World::new(&one_day(), EVENING).await;
    world.change("start:", "window: 1d\n    start:");
    let (id, secret) = ("sim-client", "c4nary+s3cret/with=odd&letters");
    std::fs::write(world.path().join("secret"), secret).unwrap();
    world.change("sim-secret", "${file:secret}");
    // what is refused might be quoted; what is accepted might be logged
    let mut message = String::new();
    let run = async |message: &mut String, args: &[&str]| {
        let ended = world.run(args).await;
        message.push_str(&ended.stdout);
        message.push_str(&ended.stderr);
    };
    for format in ["text", "json"] {
        for command in [
            "run --once --as-of 2026-03-03",
            "validate",
            "status --json",
            "plan",
            "services --connection main",
        ] {
            let args: Vec<&str> = ["--log-format", format, "-vv"]
                .into_iter()
                .chain(command.split(' '))
                .collect();
            run(&mut message, &args).await;
        }
    }
    assert!(message.contains("auth"), "{message}");
    world.change("${file:secret}", "sim-secret");
    run(&mut message, &["-vv", "run", "--once", "--as-of", EVENING]).await;
    world.assert_all_landed();

    let url = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut forms = vec![];
    for secret in [secret, "sim-secret"] {
        let pair = format!("{id}:{secret}");
        forms.extend([
            secret.to_owned(),
            url(secret),
            BASE64_STANDARD.encode(secret),
            BASE64_STANDARD.encode(&pair),
            BASE64_URL_SAFE_NO_PAD.encode(&pair),
            BASE64_STANDARD.encode(format!("{}:{}", url(id), url(secret))),
        ]);
    }
    for form in &forms {
        assert!(
            !message.contains(form.as_str()),
            "{form} was printed:\n{message}"
        );
    }
    assert!(!message.contains("Bearer "), "{message}");
    for file in files(&world.lake().0) {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for form in &forms {
            assert!(
                !text.contains(form.as_str()),
                "{form} is in {}",
                file.display()
            );
        }
    }
}
