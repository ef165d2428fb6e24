//! The `auditlake` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    auditlake::cli::main()
}
