"""A root file system, run as a container engine runs it: read-only, in name spaces of its own, as the image's user.

The network has a loopback and nothing else, so the image's own port is free. Use it as root, and in a mount name space
of its own (`unshare --mount`): the mounts go with the process.
"""

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def loopback_up() -> None:
    """A new network name space has a loopback, but it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def answer_dns() -> None:
    """Says that `in-dns.test` is 127.0.0.1, and that no other name has an address; on 127.0.0.1:53."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    asked_for = b"\6in-dns\4test\0" + struct.pack(">HH", 1, 1)  # an A record
    address = b"\xc0\x0c" + struct.pack(">HHIH4B", 1, 1, 60, 4, 127, 0, 0, 1)

    def serve() -> None:
        while True:
            query, asker = server.recvfrom(512)
            question = query[12 : query.index(b"\0", 12) + 5]
            answers = [address] if question.lower() == asked_for else []
            head = query[:2] + struct.pack(">5H", 0x8580, 1, len(answers), 0, 0)
            server.sendto(head + question + b"".join(answers), asker)

    threading.Thread(target=serve, daemon=True).start()


def mount(*arguments: str | Path) -> None:
    """Mounts, in this process's name space."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


class Container:
    """`root`, read-only, with files mounted over it and with one writable folder."""

    def __init__(self, root: Path, user: str, env: dict[str, str], cwd: str) -> None:
        self.root, self.env, self.cwd = root, env, cwd
        self.uid, _, gid = user.partition(":")
        self.gid = gid or "0"

    def mount(self, files: dict[str, Path], volumes: dict[str, Path]) -> None:
        """What an engine does before it starts the first process. Missing mount points are made, as it makes them."""
        inside = {name: self.root / name.lstrip("/") for name in (*files, *volumes, "/proc")}
        for name, place in inside.items():
            (place.parent if name in files else place).mkdir(parents=True, exist_ok=True)
            if name in files:
                place.touch()
        mount("--bind", self.root, self.root)
        mount("-o", "remount,bind,ro", self.root)
        for name, source in {**files, **volumes}.items():
            mount("--bind", source, inside[name])
            if name in files:
                mount("-o", "remount,bind,ro", inside[name])

    def start(self, *command: str, **streams: object) -> subprocess.Popen:
        """Starts it as process 1 of its own name space. What is returned is its parent; see `first`."""
        run = [shutil.which("unshare"), "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
        run += [f"--root={self.root}", f"--wd={self.cwd}", f"--setuid={self.uid}", f"--setgid={self.gid}"]
        return subprocess.Popen([*run, *command], env=self.env, **streams)

    def run(self, *command: str, timeout: float = 300) -> tuple[int, str]:
        """Its exit code, and what it said."""
        started = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said, _ = started.communicate(timeout=timeout)
        finally:
            started.kill()  # takes its child along, if there still is one
        return started.returncode, said


def first(started: subprocess.Popen) -> int | None:
    """The id, as this name space has it, of the process that is 1 in its own."""
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    return int(children[0]) if children else None


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def terminate(started: subprocess.Popen) -> None:
    """SIGTERM to process 1, as `docker stop` and the kubelet send it."""
    pid = first(started)
    if pid:
        os.kill(pid, signal.SIGTERM)
