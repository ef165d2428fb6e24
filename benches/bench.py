"""Measures the goals of speed and thrift against this checkout's release build; `make bench`. docs/performance.md says how to read it.

bench.py [--only 1,2,guard] [--repeat 3] [--renew]

Writes the figures into bench.json, and the same table into docs/performance.md; those of goals that were left out stay as
they were, each with the version that it was measured of. Fewer than three repetitions are for trying: they write nothing.
`--renew` takes the instruction counts of now as those to compare with.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

import lab
from lab import ROOT, SCRATCH, CannotMeasure, PageServer, backfill, in_turns, middle, quotient, say

COUNTS = ROOT / "benches" / "instructions.json"
TABLE = ROOT / "docs" / "performance.md"
#: How many instructions a stage may take beyond what is written down.
GUARD = 1.05

GOALS = {}


def goal(name, title):
    def register(measure):
        GOALS[name] = (title, measure)
        return measure
    return register


class Rows:
    """What one goal asks, and what was found."""

    def __init__(self, name):
        self.name, self.rows = name, []

    def at_least(self, floor, what, figure, unit=""):
        self.add(what, f"≥ {floor:g}{unit}", figure, unit, figure is not None and figure >= floor)

    def at_most(self, most, what, figure, unit=""):
        self.add(what, f"≤ {most:g}{unit}", figure, unit, figure is not None and figure <= most)

    def add(self, what, floor, figure, unit, met, why=None):
        self.rows.append({
            "goal": self.name, "what": what, "floor": floor,
            "figure": None if figure is None else float(f"{figure:.4g}"), "unit": unit.strip(),
            "met": None if figure is None else bool(met), **({"why": why} if why else {}),
        })


# 1: records per CPU second --------------------------------------------------------------------------------------------

@goal("1", "records per CPU second")
def throughput(rows):
    records, pages = 200_000, 400
    peers = ROOT / "benches" / "peers"
    contestants, skipped = {}, {}

    def us_per_record(seconds):
        return (seconds / records * 1e6,)

    def stages():
        """The sum of those that every record passes once, and what of it is the record as received."""
        took = stage_times("genesys_cloud/")
        every = sum(took[name] for name in ["split", "read", "dedup", "build_and_encode"])
        return every / 1_000, (took["build_and_encode"] - took["build_and_encode_without_raw"]) / 1_000

    def peer(command, landed, **environment):
        """`OUT` in the command is a new folder. It tells how many records it landed."""
        def measure():
            out = lab.new_folder("peer")
            done = lab.run([out if word == "OUT" else word for word in command], {"BENCH_OUT": str(out), **environment})
            told = re.search(landed, done.output + done.errors, re.M)
            if not told or int(told[1]) != records or not any(out.rglob("*.parquet")):
                raise CannotMeasure(f"landed {told and told[1]} records, not {records}")
            shutil.rmtree(out)
            return us_per_record(done.cpu)
        return measure

    def add(name, make):
        try:
            contestants[name] = make()
            contestants[name]()  # once for what is written and compiled on first use
        except CannotMeasure as why:
            say(f"{name}: skipped, {why}")
            skipped[name] = str(why)
            contestants.pop(name, None)

    with PageServer(records=records, days=4) as server:
        add("dlt", lambda: peer(
            [lab.python_with("dlt", "dlt[parquet,filesystem]"), peers / "dlt_run.py", server.url, pages, "OUT"],
            r"^(\d+)$"))
        add("faucet-cli", lambda: peer(
            [lab.faucet(), "run", peers / "faucet.yaml"], r"wrote (\d+) records",
            BENCH_URL=server.url, BENCH_PAGES=str(pages)))
        add("DuckDB", lambda: peer(
            [lab.python_with("duckdb", "duckdb"), peers / "duckdb_run.py", lab.json_lines(server, records), "OUT"],
            r"^(\d+)$"))
        found = in_turns(OPTIONS.repeat, {
            "auditlake": lambda: us_per_record(backfill(server, 4, records).cpu),
            "stages": stages,
            **contestants,
        })
    (SCRATCH / "records.jsonl").unlink(missing_ok=True)
    own = found["auditlake"]
    rows.add("auditlake, CPU a record", "", middle(own), " µs", True)
    for name, floor in [("dlt", 20), ("faucet-cli", 3), ("DuckDB", 1.5)]:
        if name in found:
            rows.at_least(floor, f"times {name} ({middle(found[name]):.3g} µs)", quotient(found[name], own))
        else:
            rows.add(f"times {name}", f"≥ {floor:g}", None, "", None, skipped[name])
    rows.at_least(0.85, f"of the sum of our stages ({middle(found['stages']):.3g} µs)", quotient(found["stages"], own))
    rows.add("what `raw` takes of it, which no peer writes", "", middle(found["stages"], 1), " µs", True)


def stage_times(prefix):
    """Nanoseconds of CPU a record, by stage."""
    told = lab.run([stages_binary(), "cpu", prefix]).output
    return {name.removeprefix(prefix): float(nanoseconds) for name, nanoseconds in map(str.split, told.splitlines())}


# 2: parallel ----------------------------------------------------------------------------------------------------------

@goal("2", "windows in parallel")
def parallel(rows):
    records, days = 500_000, 10
    with PageServer(records=1_000_000, days=20) as server:
        def measured(windows):
            def measure():
                before = server.cpu()
                done = backfill(server, days, records, windows)
                # what the machine can't be without: the seconds of both, on as many cores as there are
                return done.wall, (done.cpu + server.cpu() - before) / os.cpu_count()
            return measure

        one, two, eight = in_turns(OPTIONS.repeat, {
            "one window": measured(1), "two windows": measured(2), "eight windows": measured(8)}).values()
    rows.at_least(1.7, "two windows on this machine, times one", quotient(one, two))
    rows.add("eight windows on this machine, times one", "", quotient(one, eight), "", True)
    never_idle = [(least, wall) for wall, least in two]
    rows.add("two windows, times one, if no core were ever idle", "", quotient(one, never_idle), "", True)

    records, days, latency = 100_000, 2, 0.15

    def of(windows):
        def measure():
            with PageServer(records=1_000_000, days=20, latency_ms=int(latency * 1_000)) as server:
                done = backfill(server, days, records, windows, window="6h")
                asked = server.stats()
            calls = asked["sign_ins"] + asked["queries"] + asked["pages"]
            return done.wall, calls * latency
        return measure

    found = in_turns(OPTIONS.repeat, {"one window, 150 ms": of(1), "eight windows, 150 ms": of(8)})
    one, eight = found.values()
    rows.at_least(7, "eight windows at 150 ms latency, times one", quotient(one, eight))
    bound = [(asked, wall) for wall, asked in one]
    rows.at_least(0.95, "one window at 150 ms latency, of the latency bound", quotient(bound, one))


# 3: the rate budget ---------------------------------------------------------------------------------------------------

@goal("3", "rate budget")
def rate(rows):
    per_minute, minutes, days = 300, 10, 40
    # pairs of connections, each with a budget of its own; all at a time, as they wait more than they work
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(PageServer(records=2_000_000, days=days, per_minute=per_minute))
                   for _ in range(2 * OPTIONS.repeat)]
        processes = []
        for number, server in enumerate(servers):
            lake = lab.new_folder(f"lake-{number}")
            processes.append(subprocess.Popen(
                [lab.AUDITLAKE, "backfill", "--job", "bench", "--from", lab.DAY % 1, "--to", lab.end_of(days)],
                env={**os.environ, **lab.environment(server, lake, rate_limit=f"{per_minute}/min")},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        say(f"{len(processes)} backfills for {minutes} minutes")
        time.sleep(minutes * 60 + 5)
        stats = [server.stats() for server in servers]
        early = [process for process in processes if process.poll() is not None]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
    for number, _ in enumerate(servers):
        shutil.rmtree(SCRATCH / f"lake-{number}")
    if early:
        raise CannotMeasure(f"{len(early)} of {len(processes)} backfills ended before the {minutes} minutes were over")
    used = [sum(one["answered_by_second"][:minutes * 60]) / (per_minute * minutes) for one in stats]
    say(f"used: {', '.join(f'{share:.4f}' for share in used)}")
    slower = [(min(pair),) for pair in zip(used[::2], used[1::2])]
    rows.at_least(0.97, f"of 300 calls a minute used over {minutes} minutes, the slower of two connections", middle(slower))
    rows.at_most(0, "calls refused with 429", sum(one["refused"] for one in stats))
    tests = figures()
    rows.at_least(0.97, "of the budget used, simulated", tests.get("rate_budget_use"))
    rows.at_most(0, "calls refused with 429, simulated", tests.get("rate_429"))
    rows.at_most(1, "windows by which a backfill delays a pull", tests.get("backfill_delay_windows"))


# 4, 6, 7: what tests count --------------------------------------------------------------------------------------------

@goal("4", "calls")
def calls(rows):
    for provider in ["genesys", "avaya", "liveperson", "everyware"]:
        rows.at_most(1.02, f"times the calls of a perfect client, {provider}", figures().get(f"calls_ratio_{provider}"))


@goal("6", "store requests")
def store_requests(rows):
    rows.at_most(10, "requests of a run with new rows in one partition", figures().get("store_requests_new"))
    rows.at_most(4, "requests of a run that finds nothing", figures().get("store_requests_none"))


@goal("7", "a thousand jobs")
def scale(rows):
    rows.at_most(1_000, "lateness of ticks, 99th percentile", figures().get("tick_lateness_p99_ms"), " ms")
    rows.at_most(1.2, "memory of 1,000 jobs, times linear from 10", figures().get("scale_memory_ratio"))
    rows.at_most(1.2, "CPU of 1,000 jobs, times linear from 10", figures().get("scale_cpu_ratio"))


def figures():
    """What tests print as `figure: NAME VALUE`: those with `figures_` in their name."""
    if not hasattr(figures, "found"):
        figures.found = {}
        command = ["cargo", "nextest", "run", "--locked", "--success-output", "immediate", "--no-fail-fast",
                   "--no-tests", "pass", "-E", "test(figures_)"]
        say(" ".join(command))
        # the tests that need a clock and the release build run only so
        environment = {**os.environ, "AUDITLAKE_FIGURES": "1", "AUDITLAKE_BIN": str(lab.AUDITLAKE)}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment)
        for name, value in re.findall(r"figure: (\w+) ([-+.\deE]+)", done.stdout):
            figures.found[name] = float(value)
        if done.returncode != 0:
            # what a failed test printed is no figure
            figures.found = {}
            say(f"the tests of figures failed: {done.stdout[-2000:]}")
    return figures.found


# 5: memory ------------------------------------------------------------------------------------------------------------

@goal("5", "memory")
def memory(rows):
    with PageServer(records=5_000_000, days=100) as server:
        found = in_turns(OPTIONS.repeat, {
            "1,000,000 records, one window": lambda: (backfill(server, 20, 1_000_000, 1).peak,),
            "1,000,000 records, eight windows": lambda: (backfill(server, 20, 1_000_000, 8).peak,),
            "5,000,000 records, one window": lambda: (backfill(server, 100, 5_000_000, 1).peak,),
        })
    one, eight, five = found.values()
    rows.at_most(192, "peak of one window", middle(one), " MiB")
    rows.at_most(320, "peak of eight windows", middle(eight), " MiB")
    rows.at_most(1.1, f"peak with 5,000,000 records ({middle(five):.0f} MiB), times 1,000,000", quotient(five, one))
    idle = in_turns(OPTIONS.repeat, {"idle daemon": idle_daemon})["idle daemon"]
    rows.at_most(32, "a daemon with 10 jobs, idle", middle(idle), " MiB")


def idle_daemon():
    """Ten jobs on ten connections, their first pulls done."""
    text = (ROOT / "benches" / "jobs.yaml").read_text()
    head, connections, jobs = re.split(r"^(?:connections|jobs):\n", text, flags=re.M)
    now = datetime.datetime.now(datetime.timezone.utc)
    start = (now - datetime.timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    jobs = jobs.replace("2025-01-01", start)
    ten = [head, "connections:\n"]
    # an account may be pulled by one job only
    ten += [connections.replace("page-server", f"server-{n}").replace("client_id: bench", f"client_id: bench-{n}")
            for n in range(10)]
    ten += ["jobs:\n"]
    ten += [jobs.replace("name: bench", f"name: bench-{n}").replace("page-server", f"server-{n}") for n in range(10)]
    config = SCRATCH / "ten.yaml"
    config.write_text("".join(ten))
    lake = lab.new_folder("lake")
    with PageServer(records=500, days=1) as server:
        environment = {**lab.environment(server, lake), "AUDITLAKE_CONFIG": str(config)}
        process = subprocess.Popen([lab.AUDITLAKE, "run"], env={**os.environ, **environment},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while sum(1 for _ in lake.glob("_auditlake/jobs/*/commits/*2.json")) < 10:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise CannotMeasure("the daemon doesn't get through its first pulls")
                time.sleep(0.2)
            time.sleep(10)
            return (lab.resident(process.pid),)
        finally:
            process.terminate()
            process.wait()


# 8: de-duplication ----------------------------------------------------------------------------------------------------

@goal("8", "de-duplication of a large day")
def dedup(rows):
    records, pages = 1_000_000, 10
    # a page of this server lasts 43.2 s
    window = ("2025-01-01T00:00:00Z", "2025-01-01T00:07:12Z")
    with PageServer(records=records, days=1) as server:
        say("landing a day of 1,000,000 records")
        day = lab.new_folder("full-lake")
        backfill(server, 1, records, lake=day)

        def again(lake):
            def measure():
                arguments = ["--refetch"] if lake else []
                done = backfill(server, window, pages * lab.PAGE, lake=lake, arguments=arguments)
                return done.wall, done.peak
            return measure

        found = in_turns(OPTIONS.repeat, {"empty lake": again(None), "lake with the day": again(day)})
    shutil.rmtree(day)
    empty, full = found.values()
    rows.at_most(64, "more memory than with an empty lake", middle(full, 1) - middle(empty, 1), " MiB")
    rows.at_most(2, "more time than with an empty lake, 5,000 records read", middle(full) - middle(empty), " s")


# 9: start, size, build ------------------------------------------------------------------------------------------------

@goal("9", "start, size, build")
def start(rows):
    def first_request():
        with PageServer(records=lab.PAGE, days=1) as server:
            done = backfill(server, 1, lab.PAGE)
            ago = server.stats()["began_s_ago"]
            return ((time.time() - ago - done.began_at) * 1_000,)

    rows.at_most(100, "from start to first request", middle(in_turns(7, {"start": first_request})["start"]), " ms")
    rows.at_most(40, "release binary", lab.AUDITLAKE.stat().st_size / 1e6, " MB")
    try:
        built = in_turns(OPTIONS.repeat, {"incremental build": incremental_build})["incremental build"]
        rows.at_most(30, "incremental build after a change of one line", middle(built), " s")
    except CannotMeasure as why:
        rows.add("incremental build after a change of one line", "≤ 30 s", None, " s", None, str(why))


def incremental_build():
    """A line more in a function that all layers use, in a copy of the checkout."""
    copy = SCRATCH / "checkout"
    target = SCRATCH / "incremental"
    changed = copy / "src" / "model" / "range.rs"

    def build():
        return lab.run(["cargo", "build", "--locked", "--manifest-path", copy / "Cargo.toml"],
                       {"CARGO_TARGET_DIR": str(target)}).wall

    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, copy_function=shutil.copy2,
                    ignore=shutil.ignore_patterns("target", ".git", "fuzz", "tests", "docs"))
    build()
    text = changed.read_text()
    anchor = "pub fn length(&self) -> TimeDelta {\n"
    if anchor not in text:
        raise CannotMeasure(f"src/model/range.rs has no `{anchor.strip()}` to change")
    line = f"        std::hint::black_box({time.time_ns()}_u64);\n"
    changed.write_text(text.replace(anchor, anchor + line))
    return (build(),)


# The guard ------------------------------------------------------------------------------------------------------------

@goal("guard", "instructions of the hot stages")
def guard(rows):
    if shutil.which("valgrind") is None:
        rows.add("instructions, times those written down", f"≤ {GUARD:g}", None, "", None, "valgrind isn't installed")
        return
    written = json.loads(COUNTS.read_text()) if COUNTS.exists() else {"stages": {}}
    counted = {}
    for stage in hot_stages():
        (one, records), (three, _) = instructions(stage, 1), instructions(stage, 3)
        counted[stage] = round((three - one) / 2 / records)
        say(f"{stage}: {counted[stage]:,} instructions a record, {written['stages'].get(stage, 0):,} written down")
    if OPTIONS.renew:
        COUNTS.write_text(json.dumps({"rustc": rustc(), "stages": counted}, indent=2) + "\n")
        written = {"stages": counted}
    missing = [stage for stage in counted if stage not in written["stages"]]
    if missing:
        raise CannotMeasure(f"{COUNTS.name} lacks {', '.join(missing)}; RENEW=1 writes it")
    ratios = {stage: count / written["stages"][stage] for stage, count in counted.items()}
    worst = max(ratios, key=ratios.get)
    rows.at_most(GUARD, f"times the instructions written down, the worst of {len(ratios)} stages: {worst}", ratios[worst])


def hot_stages():
    return [f"{provider}/{stage}"
            for provider in ["genesys_cloud", "avaya_axp", "liveperson", "everyware_cloud"]
            for stage in ["split", "read", "dedup", "build_and_encode"]]


def instructions(stage, times):
    """How many instructions a process takes that does it so often: the difference of two is the stage's."""
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", stages_binary(), "run", stage, str(times)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not told:
        raise CannotMeasure(f"valgrind: {done.stderr[-1000:]}")
    return int(told[1]), int(done.stdout)


# All of it ------------------------------------------------------------------------------------------------------------

def stages_binary():
    if "BENCH_STAGES" in os.environ:
        return os.environ["BENCH_STAGES"]
    if not hasattr(stages_binary, "path"):
        done = subprocess.run(
            ["cargo", "bench", "--locked", "--bench", "stages", "--no-run", "--message-format", "json"],
            stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
        built = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        stages_binary.path = next(
            message["executable"] for message in built
            if message.get("executable") and message.get("target", {}).get("name") == "stages")
    return stages_binary.path


def rustc():
    return subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()


def machine():
    with contextlib.suppress(OSError):
        model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        if model:
            return f"{os.cpu_count()} cores of {model[1]}, {platform.system()}, {rustc()}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {rustc()}"


def table(result):
    lines = [f"Measured on {result['machine']}.", "",
             "| goal | what | floor | figure | | version |", "|---|---|---|---|---|---|"]
    for row in result["goals"]:
        said = {True: "met", False: "**not met**", None: "not measured"}[row["met"]]
        figure = "" if row["figure"] is None else f"{row['figure']:,g} {row['unit']}".strip()
        lines.append(f"| {row['goal']} | {row['what']} | {row['floor']} | {figure} | {said if row['floor'] else ''} | {row['version']} |")
    return "\n".join(lines) + "\n"


def write_page(text):
    begin, end = "<!-- bench.py writes this -->\n", "<!-- to here -->\n"
    page = TABLE.read_text()
    before, rest = page.split(begin)
    TABLE.write_text(before + begin + text + end + rest.split(end)[1])


def version():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return done.stdout.strip() or "unknown"


def kept_rows():
    """What was measured before of the other goals, if it was on such a machine."""
    kept = ROOT / "bench.json"
    result = json.loads(kept.read_text()) if kept.exists() else {}
    return result["goals"] if result.get("machine") == machine() else []


def main():
    names = [name for name in (OPTIONS.only or "").split(",") if name] or list(GOALS)
    unknown = [name for name in names if name not in GOALS]
    if unknown:
        sys.exit(f"no such goal: {', '.join(unknown)}; there are {', '.join(GOALS)}")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    if "BENCH_AUDITLAKE" not in os.environ:
        say("building")
        subprocess.run(["cargo", "build", "--release", "--locked", "--package", "auditlake", "--package", "auditlake-sim",
                        "--bin", "auditlake", "--bin", "page_server"], cwd=ROOT, check=True)
        stages_binary()
    measured, today = [], {"date": datetime.date.today().isoformat(), "version": version()}
    for name in sorted(names):
        title, measure = GOALS[name]
        say(f"{name}: {title}")
        rows = Rows(name)
        try:
            measure(rows)
        except CannotMeasure as why:
            say(f"{name}: {why}")
            rows.add(title, "", None, "", None, str(why))
        measured += rows.rows
    measured = [{**row, **today} for row in measured]
    if OPTIONS.repeat >= 3:
        kept = [row for row in kept_rows() if row["goal"] not in names]
        result = {"machine": machine(), "goals": sorted(kept + measured, key=lambda row: row["goal"])}
        (ROOT / "bench.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        write_page(table(result))
    print(table({"machine": machine(), "goals": measured}))
    regressed = any(row["goal"] == "guard" and row["met"] is False for row in measured)
    sys.exit("a stage takes more instructions than are written down" if regressed else 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--renew", action="store_true")
    OPTIONS = parser.parse_args()
    main()
