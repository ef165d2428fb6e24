//! `completions`: prints a shell-completion script.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::report::Out;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, out: &mut Out) -> u8 {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    out.text(String::from_utf8_lossy(&script));
    0
}
