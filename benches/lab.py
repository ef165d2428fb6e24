"""What the goals of bench.py are measured with: processes, their CPU and memory, the page server, the peers."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "target" / "bench"
RELEASE = ROOT / "target" / "release"
AUDITLAKE = pathlib.Path(os.environ.get("BENCH_AUDITLAKE", RELEASE / "auditlake"))
PAGE_SERVER = pathlib.Path(os.environ.get("BENCH_PAGE_SERVER", RELEASE / "page_server"))
DAY = "2025-01-%02dT00:00:00Z"
PAGE = 500


class CannotMeasure(Exception):
    """Why there is no figure."""


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def in_turns(repeat, contestants):
    """Runs the contestants in turns: what each has measured, turn by turn."""
    taken = {name: [] for name in contestants}
    for turn in range(repeat):
        for name, run in contestants.items():
            taken[name].append(run())
            say(f"{turn + 1}/{repeat} {name}: " + ", ".join(f"{value:.4g}" for value in taken[name][-1]))
    return taken


def middle(turns, column=0):
    """The median."""
    return statistics.median(turn[column] for turn in turns)


def quotient(above, below, column=0):
    """The median of what one is of the other in the same turn: what slows both down has no part in it."""
    return statistics.median(one[column] / other[column] for one, other in zip(above, below))


class Finished:
    """A process that has ended: seconds of CPU, seconds by the clock, peak memory in MiB, what it printed, and when it
    was started."""

    def __init__(self, cpu, wall, peak, output, errors, began_at):
        self.cpu, self.wall, self.peak, self.began_at = cpu, wall, peak, began_at
        self.output, self.errors = output, errors


def run(command, environment=None):
    """Runs a command to its end, which is to be a good one."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    out, err = SCRATCH / "stdout", SCRATCH / "stderr"
    out, err = (path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}") for path in (out, err))
    try:
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            began_at, began = time.time(), time.monotonic()
            process = subprocess.Popen(
                [str(word) for word in command],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=ROOT,
            )
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        errors = err.read_text(errors="replace")
        if process.returncode != 0:
            name = pathlib.Path(command[0]).name
            raise CannotMeasure(f"`{name}` ended with {process.returncode}: {errors.strip()[-2000:]}")
        # ru_maxrss begins with what the parent had when it forked, some 30 MiB: of no weight here
        return Finished(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024,
                        out.read_text(errors="replace"), errors, began_at)
    finally:
        out.unlink(missing_ok=True)
        err.unlink(missing_ok=True)


class PageServer:
    """crates/auditlake-sim/servers/page_server.rs, for as long as the block lasts."""

    def __init__(self, **options):
        self.options = [word for name, value in options.items()
                        for word in (f"--{name.replace('_', '-')}", str(value))]

    def __enter__(self):
        self.process = subprocess.Popen([PAGE_SERVER, *self.options], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise CannotMeasure("the page server doesn't start")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as answer:
            return answer.read()

    def cpu(self):
        """Seconds of CPU since it was started."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stats(self):
        """What was asked since the server started."""
        return json.loads(self.get("/stats"))


def new_folder(name):
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def environment(server, lake, **settings):
    return {
        "BENCH_URL": server.url,
        "BENCH_LAKE": f"file://{lake}",
        "BENCH_SECRET": "not-a-secret-at-all",
        "AUDITLAKE_CONFIG": str(ROOT / "benches" / "jobs.yaml"),
        **{f"BENCH_{name.upper()}": str(value) for name, value in settings.items()},
    }


def backfill(server, days, records, concurrency=1, lake=None, arguments=(), **settings):
    """Lands whole days, or `days` as a pair of instants, in an empty lake unless there is one; every record is to be
    new there, or a duplicate."""
    first, last = days if isinstance(days, tuple) else (DAY % 1, end_of(days))
    folder = lake or new_folder("lake")
    command = [AUDITLAKE, "backfill", "--job", "bench", "--from", first, "--to", last,
               "--concurrency", concurrency, *arguments]
    done = run(command, environment(server, folder, **settings))
    summary = done.output.replace(",", "").split()
    landed = dict(zip(summary[2::2], summary[1::2]))
    got = int(landed.get("new", 0)) + int(landed.get("duplicate", 0))
    if got != records:
        raise CannotMeasure(f"{records} records were to land, but: {done.output.strip()}")
    if lake is None:
        shutil.rmtree(folder)
    return done


def end_of(days):
    """The instant at which the first so many days of 2025 end."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_735_689_600 + days * 86_400))


def resident(pid, what="VmRSS"):
    """MiB of a running process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024
    raise CannotMeasure(f"/proc/{pid}/status has no {what}")


# Peers ---------------------------------------------------------------------------------------------------------------

FAUCET = ["faucet-cli", "--version", "1.0.1", "--locked", "--no-default-features",
          "--features", "source-rest,sink-parquet"]


def python_with(name, package):
    """Python with a package, in an environment of its own; installed when it is first wanted."""
    folder = SCRATCH / "peers" / name
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        say(f"installing {package}")
        shutil.rmtree(folder, ignore_errors=True)
        install([[sys.executable, "-m", "venv", str(folder)],
                 [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]])
        done.touch()
    return python


def faucet():
    folder = SCRATCH / "peers" / "faucet"
    binary = folder / "bin" / "faucet"
    if not binary.exists():
        say("installing faucet-cli 1.0.1: some minutes")
        install([["cargo", "install", *FAUCET, "--root", str(folder)]])
    return binary


def install(commands):
    for command in commands:
        # cargo outside of the repository: its own toolchain and flags have no part in it
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=SCRATCH)
        if done.returncode != 0:
            raise CannotMeasure(f"can't be installed here: {done.stdout.strip().splitlines()[-1:]}")


def json_lines(server, records):
    """The same records, one a line, on disk."""
    path = SCRATCH / "records.jsonl"
    with open(path, "wb") as lines:
        for page in range(records // PAGE):
            body = server.get(f"/audits?cursor={page}")
            entities = body[body.index(b"[") + 1:body.rindex(b"]")]
            lines.write(entities.replace(b'},{"id":"', b'}\n{"id":"') + b"\n")
    return path
