//! What lies in `deploy/` fits its schemas, itself, and this version's `validate`.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs Python packages: `make test` runs it"]
fn what_is_deployed_is_valid() {
    let python = std::env::var_os("AUDITLAKE_TEST_PYTHON")
        .expect("run this by `make test` (or `make tests`)");
    let checked = Command::new(python)
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/check.py"))
        .arg(env!("CARGO_BIN_EXE_auditlake"))
        .output()
        .expect("Python should start");
    let message = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{message}");
}
