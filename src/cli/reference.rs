//! docs/cli.md, which is generated from the commands and options.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use super::Cli;

const BEGIN: &str = "<!-- from the code: UPDATE=1 cargo test reference -->\n";
const END: &str = "<!-- end of what is from the code -->\n";

#[test]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
fn the_page_of_the_command_line_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let stored = std::fs::read_to_string(&path).unwrap();
    let around = stored.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = around.unwrap();
    let current = format!("{before}{BEGIN}\n{}{END}{after}", all());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &current).unwrap();
    } else {
        assert!(
            stored == current,
            "docs/cli.md is stale; run the tests with UPDATE=1"
        );
    }
}

fn all() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = String::from("### Every command\n\n");
    text.push_str(&options(&root, true));
    for command in root
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        tell(command, "", &mut text);
    }
    text
}

fn tell(command: &Command, parent: &str, text: &mut String) {
    let name = format!("{parent}{}", command.get_name());
    let about = command.get_about().map(ToString::to_string);
    let mut usage = command.clone().render_usage().to_string();
    usage = usage.trim_start_matches("Usage: ").to_owned();
    let _ = write!(
        text,
        "### {name}\n\n{}.\n\n```text\n{usage}\n```\n\n",
        about.unwrap_or_default()
    );
    text.push_str(&options(command, false));
    for command in command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        tell(command, &format!("{name} "), text);
    }
}

/// Returns a line for each option; global options are only listed once.
fn options(command: &Command, global: bool) -> String {
    let is_told = |arg: &&Arg| arg.is_global_set() == global && !arg.is_hide_set();
    let standard = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version");
    let args = command.get_arguments().filter(is_told).filter(standard);
    let lines: Vec<String> = args.map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("| option | |\n|---|---|\n{}\n", lines.concat())
}

fn line(arg: &Arg) -> String {
    let value = if arg.get_action().takes_values() {
        let names = arg.get_value_names().unwrap_or_default();
        names.first().map(|name| format!("<{name}>"))
    } else {
        None
    };
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let name = [names.join(", "), value.unwrap_or_default()].join(" ");
    let mut about = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = (arg.get_possible_values().iter())
        .filter(|_| arg.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        let _ = write!(about, ": {}", values.join(", "));
    }
    let defaults: Vec<_> = (arg.get_default_values().iter())
        .filter(|_| arg.get_action().takes_values())
        .map(|value| value.to_string_lossy())
        .collect();
    if !defaults.is_empty() {
        let _ = write!(about, " (`{}` by default)", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(about, "; or by `{}`", variable.to_string_lossy());
    }
    let needed = if arg.is_required_set() {
        "; required"
    } else {
        ""
    };
    format!(
        "| `{}` | {about}{needed} |\n",
        name.trim().replace('|', "\\|")
    )
}
