//! The `auditlake` binary: arguments in, exit code out.

use std::process::ExitCode;

/// Pages and row groups are allocated and freed on several threads. The C library returns their memory to the kernel
/// each time, and allocates it again under one lock; this allocator keeps it for a second. `.cargo/config.toml` limits
/// the amount.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    auditlake::cli::main()
}
