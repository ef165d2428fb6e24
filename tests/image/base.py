"""The builder base that the Dockerfile names, made of what is at hand: Debian's packages and this machine's Rust.

The official image `rust:<version>-<suite>` is Debian with a Rust toolchain and all that programs are commonly built
with. This has of that what is needed; the toolchain is mounted while the image is built, as are the crates: so a build
needs no network, and no name of a registry.
"""

import re
import subprocess
from pathlib import Path

PACKAGES = "ca-certificates,gcc,libc6-dev,make"
RUST, CRATES = "/usr/local/rust", "/usr/local/crates"
CARGO_CONFIG = f"""[net]
offline = true
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "{CRATES}"
"""


def name(dockerfile: Path) -> tuple[str, str]:
    """What the Dockerfile builds on, and of which suite of Debian that is."""
    found = re.search(r"^ARG RUST_IMAGE=(\S+:[\d.]+-(\w+))$", dockerfile.read_text(), re.MULTILINE)
    if not found:
        raise SystemExit(f"{dockerfile}: no `ARG RUST_IMAGE=...:<version>-<suite>` to stand in for")
    return found[1], found[2]


def archive(folder: Path, suite: str) -> Path:
    """Debian's minimal system with `PACKAGES`, made once and kept in `folder`."""
    packed, root = folder / f"{suite}.tar", folder / suite
    if not packed.exists():
        subprocess.run(["rm", "-rf", root], check=True)
        run = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, root]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        part = packed.with_suffix(".part")
        # the cached packages aren't in the official image either
        subprocess.run(["tar", "-C", root, "--exclude=./var/cache/apt/archives/*.deb", "-cf", part, "."], check=True)
        part.rename(packed)
        subprocess.run(["rm", "-rf", root], check=True)
    return packed


def crates(folder: Path, cargo: str) -> Path:
    """The crates that Cargo.lock names, by whatever registry this machine's Cargo uses."""
    vendored = folder / "crates"
    run = [cargo, "vendor", "--locked", "--quiet", "--versioned-dirs", vendored]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    return vendored


def sysroot() -> Path:
    """This machine's Rust toolchain."""
    said = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True)
    return Path(said.stdout.strip())
