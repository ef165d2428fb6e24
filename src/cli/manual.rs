//! `man`: writes the manual pages, one for each command.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::Cli;
use super::report::CommandError;

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The target folder, for example /usr/local/share/man/man1
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(args: &ManArgs) -> Result<u8, CommandError> {
    let folder = &args.folder;
    let failed = |error| {
        CommandError::run(format!(
            "can't write manual pages into `{}`: {error}",
            folder.display()
        ))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    Ok(0)
}
