"""Lets every query engine read a lake that the binary lands, from local disk and from S3; `make test-engines`.

run.py BINARY SIMULATOR [ENGINE ...]

The lake comes from the simulators: four providers, a week, four runs, so that there are late records; one of the runs
fails at one provider. The same is landed again on SeaweedFS, and a small one by other partition columns. Each engine's
tests are a file test_<engine>.py here and run in a process of their own.

The table `audit_runs` has days that are over by the real clock, which none is within a test. So the commits of each run
are set back to the present that the run was given (`set_back`), before the next run; that one, a real `run --once`, makes
the day's file of them.
"""

import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import pyarrow.fs

import reference

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRATCH = ROOT / "target" / "engines"

RECORDS, DAYS = 6_000, 7
#: The presents of the runs; what is late within the first ones is found by a later one.
PRESENTS = ["2026-03-03T00:10:00Z", "2026-03-04T00:10:00Z", "2026-03-06T00:10:00Z", "2026-03-10T00:00:00Z"]
#: The run that Avaya refuses, and how often Genesys Cloud answers 503 in it.
FAILING, REFUSED = PRESENTS[1], 2
#: The partition that the lake with a hole lacks, and the one whose largest file it lacks.
HOLE = "audit_events/provider=avaya_axp/event_date=2026-03-04"
LITTLE = "audit_events/provider=genesys_cloud/event_date=2026-03-06"
BUCKET, PREFIX = "audit", "some/prefix"
KEY, SECRET = "test-key", "test-secret"
OTHER_PARTITIONS = ["account_id", "event_month", "event_hour"]


def main():
    binary, simulator, *wanted = sys.argv[1:]
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    tests = [path for path in sorted(HERE.glob("test_*.py")) if not wanted or path.stem[5:] in wanted]
    if not tests or len(wanted) > len(tests):
        sys.exit(f"no such test: {wanted}")
    with contextlib.ExitStack() as until_the_end:
        began = time.monotonic()
        endpoint = until_the_end.enter_context(store())
        s3 = {
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true",
        }
        local, other, holed = (SCRATCH / name for name in ["lake", "lake-by-hour", "lake-with-a-hole"])
        land(binary, simulator, RECORDS, DAYS, f"file://{local}", pyarrow.fs.LocalFileSystem())
        client = pyarrow.fs.S3FileSystem(access_key=KEY, secret_key=SECRET, region="us-east-1", endpoint_override=endpoint)
        land(binary, simulator, RECORDS, DAYS, f"s3://{BUCKET}/{PREFIX}", client, s3)
        jobs = (ROOT / "jobs.yaml").read_text()
        changed = jobs.replace("partition_by: [provider, event_date]", f"partition_by: [{', '.join(OTHER_PARTITIONS)}]")
        assert changed != jobs
        (SCRATCH / "jobs-by-hour.yaml").write_text(changed)
        land(binary, simulator, RECORDS // 20, 1, f"file://{other}", jobs=SCRATCH / "jobs-by-hour.yaml")
        shutil.copytree(local, holed)
        shutil.rmtree(holed / HOLE)
        max((holed / LITTLE).iterdir(), key=lambda path: path.stat().st_size).unlink()
        facts = reference.facts(local)
        # the simulators hold so many: the one figure that no reader of Parquet was asked for
        assert facts["rows"] == [[RECORDS + 3 * (RECORDS // 5)]], facts["rows"]
        dates = sorted({row["run_date"] for row in reference.runs(local)})
        assert dates == [present[:10] for present in PRESENTS], dates
        (SCRATCH / "facts.json").write_text(json.dumps(facts))
        environment = {
            **os.environ,
            # no fact may depend on where the reader is
            "TZ": "America/St_Johns",
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AUDITLAKE": str(pathlib.Path(binary).resolve()),
            "ENGINES_FACTS": str(SCRATCH / "facts.json"),
            "ENGINES_COOKBOOK": str(SCRATCH / "cookbook.json"),
            "ENGINES_LOCAL": str(local),
            "ENGINES_HOLED": str(holed),
            "ENGINES_OTHER": str(other),
            "ENGINES_S3": f"{BUCKET}/{PREFIX}",
            "ENGINES_ENDPOINT": endpoint,
            "ENGINES_REFUSED": str(REFUSED),
            "ENGINES_KEY": KEY,
            "ENGINES_SECRET": SECRET,
        }
        # without answers, the tests of the cookbook fail, and the others still say why
        subprocess.run([sys.executable, HERE / "cookbook.py"], env=environment, check=False)
        print(f"landed {facts['rows'][0][0]:,} events, on disk and on S3: {time.monotonic() - began:.0f} s", flush=True)
        failed = [test.stem for test in tests if not passes(test, environment)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def passes(test, environment):
    began = time.monotonic()
    folder = SCRATCH / test.stem
    folder.mkdir()
    log = folder / "log"
    with log.open("w") as out:
        code = subprocess.run(
            [sys.executable, "-B", "-m", "unittest", "-v", test.stem],
            cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False,
        ).returncode
    said = log.read_text()
    ran = next((line for line in said.splitlines() if line.startswith("Ran ")), "ran nothing")
    print(f"{'ok  ' if code == 0 else 'FAIL'} {test.stem[5:]:12} {time.monotonic() - began:3.0f} s  {ran}", flush=True)
    if code:
        print(said, flush=True)
    return code == 0


def land(binary, simulator, records, days, url, files=None, environment=None, jobs=ROOT / "jobs.yaml"):
    """Runs the jobs of jobs.yaml at each of the presents.

    With `files`, where the lake is, it has `audit_runs` too: one of the runs fails, all are set back, and one more makes
    the last one's day.
    """
    folder = url.split("://")[1]

    def run(now, code=0, **more):
        done = subprocess.run(
            [binary, "run", "--once", "--as-of", now, "--config", str(jobs)],
            env={**os.environ, **variables, **(environment or {}), **more, "LAKE_URL": url},
            capture_output=True, text=True, check=False,
        )
        if done.returncode != code:
            sys.exit(f"can't land in {url}: {done.returncode}, {done.stderr}")

    def tell(line, answer):
        simulated.stdin.write(line + "\n")
        simulated.stdin.flush()
        said = simulated.stdout.readline().strip()
        assert said == answer, said

    with subprocess.Popen(
        [simulator, str(records), str(days)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as simulated:
        try:
            variables = {}
            for line in simulated.stdout:
                name, value = line.strip().removeprefix("export ").split("=", 1)
                variables[name] = value
                if name == "AUDITLAKE_START":
                    break
            known = set()
            for now in PRESENTS:
                tell(now, f"# now {now}")
                if files and now == FAILING:
                    tell(f"503 {REFUSED}", f"# 503 {REFUSED}")
                    run(now, code=1, AVAYA_CLIENT_SECRET="expired")
                else:
                    run(now)
                if files:
                    set_back(files, folder, known, now)
            if files:
                run(PRESENTS[-1])
        finally:
            simulated.kill()


def set_back(files, folder, known, now):
    """Makes the commits that aren't `known` yet say that the first of them was made `now`. Only their times change."""
    def moved(time):
        moment = datetime.datetime.fromisoformat(time) - by
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

    logs = files.get_file_info(pyarrow.fs.FileSelector(f"{folder}/_auditlake/jobs", recursive=True))
    commits = {
        log.path: json.loads(files.open_input_stream(log.path).read())
        for log in logs if log.path not in known and re.search(r"/commits/\d+\.json$", log.path)
    }
    first = min(datetime.datetime.fromisoformat(commit["at"]) for commit in commits.values())
    by = first - datetime.datetime.fromisoformat(now)
    for path, commit in commits.items():
        commit["at"] = moved(commit["at"])
        if claim := commit.get("claim"):
            claim["expires_at"] = moved(claim["expires_at"])
        if ended := commit.get("ended"):
            ended["started_at"] = moved(ended["started_at"])
        with files.open_output_stream(path) as out:
            out.write(json.dumps(commit).encode())
    known.update(commits)


@contextlib.contextmanager
def store():
    """SeaweedFS with an empty bucket; its address."""
    folder = SCRATCH / "seaweedfs"
    folder.mkdir()
    weed = pathlib.Path(sys.executable).parent / "weed"
    master, volume, filer, s3, admin = free_ports(5)
    log = folder / "log"
    command = [
        weed, "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}", "-webdav=false", "-admin.ui=false",
        "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-dir={folder}",
        f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
        f"-admin.port={admin}",
    ]
    with log.open("w") as out, subprocess.Popen(
        command, cwd=folder, stdout=out, stderr=subprocess.STDOUT,
        env={**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
    ) as process:
        try:
            until = time.monotonic() + 120
            while "All enabled components are running" not in log.read_text():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"SeaweedFS isn't up: {log.read_text()}")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{s3}"
        finally:
            process.kill()


def free_ports(number):
    """Ports that are free, and free 10,000 above, where SeaweedFS puts gRPC."""
    held, ports = [], []
    port = 10_000 + os.getpid() % 1_000 * 12
    while len(ports) < number:
        port += 1
        try:
            pair = [socket.create_server(("127.0.0.1", one)) for one in (port, port + 10_000)]
        except OSError:
            continue
        held += pair
        ports.append(port)
    for one in held:
        one.close()
    return ports


if __name__ == "__main__":
    main()
