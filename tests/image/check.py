#!/usr/bin/env python3
"""Builds the image of the Dockerfile without a container engine, starts it, and holds it against what is promised.

    tests/image/check.py            all of it, as root; Debian's buildah and debootstrap do the work
    tests/image/check.py --keep     leaves the image in target/image/store, and uses what an earlier --keep left there
    tests/image/check.py --image N  looks at the image N of that store, and builds nothing

What it doesn't prove: that the official Rust image is as its stand-in is (base.py), and what a container engine does by
itself, such as asking the health check at its interval.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import base
import container

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
WORK = PROJECT / "target" / "image"
PROGRAM = "/usr/local/bin/auditlake"
# all files of the image, unpacked; the program may have 40 MB (docs/performance.md), everything else is small
LARGEST_BYTES = 45_000_000
GRACE_SECONDS = 25  # `shutdown_grace`
SECRET = "a-password-that-nobody-else-has"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--image")
    parser.add_argument("--inside", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        started(*arguments.inside)
        return
    if os.geteuid() != 0:
        raise SystemExit(
            "image-check needs root: it makes a Debian system, mounts, and starts processes as another user"
        )
    missing = [tool for tool in ("buildah", "debootstrap", "unshare", "cargo") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"image-check needs {', '.join(missing)}: apt-get install buildah debootstrap util-linux")
    WORK.mkdir(parents=True, exist_ok=True)
    store = Store(WORK / "store")
    try:
        image = arguments.image or build(store, arguments.keep)
        inspect(store, image)
    finally:
        store.unmount()
        if not (arguments.keep or arguments.image):
            store.remove()
    say("image-check passed")


class Store:
    """A store of images of its own, so that the machine's isn't touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.containers: list[str] = []
        temporary = folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        self.env = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(temporary)}

    def buildah(self, *arguments: str | Path, quiet: bool = True) -> str:
        run = ["buildah", "--root", self.folder / "root", "--runroot", self.folder / "run", "--storage-driver", "vfs"]
        done = subprocess.run(
            [*run, *arguments], check=True, text=True, env=self.env, stdout=subprocess.PIPE if quiet else sys.stderr
        )
        return (done.stdout or "").strip()

    def has(self, image: str) -> bool:
        return image in self.buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()

    def start(self, image: str) -> str:
        name = self.buildah("from", "--pull-never", image)
        self.containers.append(name)
        return name

    def unmount(self) -> None:
        for name in self.containers:
            self.buildah("rm", name)
        self.containers.clear()

    def remove(self) -> None:
        subprocess.run(["rm", "-rf", "--one-file-system", self.folder], check=True)


def build(store: Store, layers: bool) -> str:
    """The image, on a stand-in for what the Dockerfile builds on. With `layers`, unchanged steps aren't done again."""
    stands_for, suite = base.name(PROJECT / "Dockerfile")
    if not store.has(stands_for):
        say(f"making a stand-in for {stands_for}")
        system = store.start("scratch")
        store.buildah("add", system, base.archive(WORK, suite), "/")
        (WORK / "config.toml").write_text(base.CARGO_CONFIG)
        store.buildah("add", system, WORK / "config.toml", "/usr/local/cargo/config.toml")
        path = f"{base.RUST}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        store.buildah("config", "--env", f"PATH={path}", "--env", "CARGO_HOME=/usr/local/cargo", system)
        store.buildah("commit", "--quiet", system, stands_for)
        store.unmount()
    rust = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    say(f"building the image with {rust}")
    began = time.monotonic()
    store.buildah(
        "build", "--pull-never", "--http-proxy=false", "--format", "docker", f"--layers={str(layers).lower()}",
        "--volume", f"{base.sysroot()}:{base.RUST}:ro",
        "--volume", f"{base.crates(WORK, 'cargo')}:{base.CRATES}:ro",
        "--build-arg", "REVISION=checked", "--tag", "localhost/auditlake:checked", PROJECT,
        quiet=False,
    )  # fmt: skip
    say(f"built in {time.monotonic() - began:.0f} s")
    return "localhost/auditlake:checked"


def inspect(store: Store, image: str) -> None:
    """What the image says of itself, what is in it, and what it does."""
    docker = json.loads(store.buildah("inspect", "--type", "image", image))["Docker"]
    config = docker["config"]
    written_down(config)
    root = Path(store.buildah("mount", store.start(image)))
    contents(root, config)
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        (Path(scratch) / "config.json").write_text(json.dumps(config))
        run = ["unshare", "--net", "--mount", sys.executable, "-B", __file__, "--inside", root, scratch]
        if subprocess.run(run).returncode != 0:
            raise SystemExit(1)


def written_down(config: dict) -> None:
    """What an engine is told by the image."""
    user = config.get("User", "")
    expect(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), f"the user is a number and not root: `{user}`")
    expect(config.get("StopSignal") == "SIGTERM", f"it is stopped by SIGTERM: `{config.get('StopSignal')}`")
    expect(list(config.get("Volumes") or {}) == ["/lake"], f"its volume is /lake: {config.get('Volumes')}")
    expect(list(config.get("ExposedPorts") or {}) == ["8080/tcp"], f"its port is 8080: {config.get('ExposedPorts')}")
    check = (config.get("Healthcheck") or {}).get("Test")
    expect(check and check[0] == "CMD", f"it has a health check that needs no shell: {check}")
    version = re.search(r'^version = "(.+)"$', (PROJECT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in (config["Labels"] or {}).items()}
    want = {"title": "auditlake", "licenses": "Apache-2.0", "version": version, "revision": "checked"}
    have = {key: labels.get(key) for key in want}
    expect(have == want and labels.get("description"), f"its labels say what it is: {have}")


def contents(root: Path, config: dict) -> None:
    """What is in the image, and whose it is."""
    uid = int(config["User"].partition(":")[0])
    everything = [path for path in (root, *root.rglob("*")) if not path.is_symlink()]
    files = [path for path in everything if path.is_file()]
    shells = [path.relative_to(root) for path in files if path.name in ("sh", "bash", "dash", "busybox", "apt", "dpkg")]
    expect(not shells, f"no shell and no package manager is in it: {list(map(str, shells))}")
    theirs = [path.relative_to(root) for path in everything if may_write(path, uid)]
    expect(theirs == [Path("lake")], f"its user may write to /lake alone: {list(map(str, theirs))}")
    raised = [str(path.relative_to(root)) for path in files if path.stat().st_mode & 0o6000]
    expect(not raised, f"no program raises its rights: {raised}")
    size = sum(path.stat().st_size for path in files)
    packed = sum(len(gzip.compress(path.read_bytes(), 6)) for path in files)
    expect(
        size <= LARGEST_BYTES, f"it has {size / 1e6:.1f} MB in {len(files)} files, about {packed / 1e6:.1f} MB packed"
    )


def may_write(path: Path, uid: int) -> bool:
    status = path.stat()
    return bool(status.st_mode & 0o002) or (status.st_uid == uid and bool(status.st_mode & 0o200))


def started(root: Path, scratch: Path) -> None:
    """What the image does. Runs in mount and network name spaces of its own."""
    config = json.loads((scratch / "config.json").read_text())
    volume, inputs = scratch / "volume", scratch / "inputs"
    # an engine gives a new volume the owner that the folder has in the image
    volume.mkdir()
    lake = (root / "lake").stat()
    os.chown(volume, lake.st_uid, lake.st_gid)
    inputs.mkdir()
    mounted = {
        "/etc/auditlake/jobs.yaml": HERE / "jobs.yaml",
        "/run/secrets/password": inputs / "password",
        "/etc/hosts": inputs / "hosts",
        "/etc/resolv.conf": inputs / "resolv.conf",
    }
    mounted["/run/secrets/password"].write_text(SECRET)
    mounted["/etc/hosts"].write_text("127.0.0.1 localhost in-hosts.test\n")
    mounted["/etc/resolv.conf"].write_text("nameserver 127.0.0.1\n")
    container.loopback_up()
    container.answer_dns()
    env = dict(entry.split("=", 1) for entry in config["Env"])
    image = container.Container(root, config["User"], env, config["WorkingDir"] or "/")
    image.mount(mounted, {"/lake": volume})

    code, said = image.run(PROGRAM, "validate")
    expect(code == 0, f"`validate` takes a mounted jobs.yaml: {last(said)}", said)
    code, said = image.run(PROGRAM, "demo", "--lake", "/lake/demo")
    expect(code == 0, "`demo` pulls from all four providers into the volume, with a read-only root", said)
    code, said = image.run(PROGRAM, "demo", "--lake", "/elsewhere")
    expect(code != 0 and "Read-only file system" in said, f"nothing else can be written: {last(said)}", said)
    code, said = image.run(PROGRAM, "check")
    reached = {name: re.search(rf"`{name}`: .*[Rr]efused", said) for name in ("by-hosts", "by-dns")}
    expect(all(reached.values()), "names are looked up in /etc/hosts and by DNS: nobody answers at either", said)
    daemon(image, config, scratch / "log")


def daemon(image: container.Container, config: dict, log: Path) -> None:
    """The image's own command, its own health check, and its end."""
    health = config["Healthcheck"]["Test"][1:]
    code, said = image.run(*health)
    expect(code == 1, f"the health check fails while there is no daemon: {last(said)}", said)
    with log.open("w") as stream:
        running = image.start(*config["Entrypoint"], *config["Cmd"], stdout=stream, stderr=stream)
    try:
        answered(running, log)
        code, said = image.run(*health)
        expect(code == 0, f"the image's command starts the daemon, and the health check says: {last(said)}", said)
        kernel = container.status(container.first(running))
        ids, inner = set(kernel["Uid"].split() + kernel["Gid"].split()), kernel["NSpid"].split()[-1]
        user = set(config["User"].split(":"))
        expect(ids == user and inner == "1", f"it is process {inner}, of user and group {', '.join(sorted(ids))}")
        rights = int(kernel["CapEff"], 16) | int(kernel["CapPrm"], 16)
        expect(rights == 0, f"it has no capabilities: {rights:#x}")
        began = time.monotonic()
        container.terminate(running)
        code = running.wait(timeout=GRACE_SECONDS + 10)
        seconds = time.monotonic() - began
        expect(
            code == 0 and seconds < GRACE_SECONDS, f"SIGTERM ends it with {code} after {seconds:.1f} s", log.read_text()
        )
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)  # takes its child along
    code, said = image.run(*health)
    expect(code == 1, f"the health check fails when it has ended: {last(said)}", said)
    said = log.read_text()
    expect("panicked" not in said and SECRET not in said, "its log shows no panic and no secret", said)


def answered(running: subprocess.Popen, log: Path) -> None:
    """Waits until the daemon says that it is ready, at the port of the image, and not at 127.0.0.1 alone."""
    for _ in range(300):
        try:
            with urllib.request.urlopen("http://127.0.0.2:8080/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if running.poll() is not None:
            break
        time.sleep(0.1)
    expect(False, f"/readyz answers 200 at 127.0.0.2:8080 within 30 s (exit code: {running.poll()})", log.read_text())


def last(said: str) -> str:
    return said.strip().splitlines()[-1] if said.strip() else ""


def expect(holds: object, what: str, said: str = "") -> None:
    """Says what was looked at; ends the check where it isn't so, with all that was said."""
    if not holds:
        raise SystemExit(f"{said}\nFAILED  {what}" if said else f"FAILED  {what}")
    say(f"ok      {what}")


def say(what: str) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    main()
