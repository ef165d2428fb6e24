//! The `auditlake` binary: arguments in, exit code out.

use std::process::ExitCode;

/// Pages and row groups come and go on several threads. The C library gives their memory back to the kernel each time,
/// and takes it anew under one lock; this keeps it for a second. `.cargo/config.toml` bounds what it keeps.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    auditlake::cli::main()
}
