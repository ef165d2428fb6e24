"""Looks at the status page with a browser; `make test-page`.

run.py BINARY SIMULATOR CHROMIUM [TEST ...]

The daemon is real, and so is its lake, which comes from the simulators: four providers, and a job with a gap, as it is
left by a backfill of an older stretch. Pictures of all pages are left in target/page, for eyes.
"""

import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCRATCH = ROOT / "target" / "page"

RECORDS, DAYS = 20_000, 17
JOB = "genesys-audits"
#: How many days ago the job began at first, and which older stretch was filled since: what lies between is the gap.
FIRST, FILLED = 8, (17, 13)
#: So slow that the backfill of the gap can be watched.
SLOW = "600/min"
#: Of the daemon's connections, as in jobs.yaml.
LIMITS = {"GENESYS_RATE_LIMIT": "300/min", **{f"{name}_RATE_LIMIT": "60/min" for name in ["AVAYA", "LIVEPERSON", "EVERYWARE"]}}
#: In milliseconds; longer than anything here may take.
PATIENCE = 90_000
LOOKS = [("light", "light", 1280, 900), ("dark", "dark", 1280, 900), ("phone", "light", 390, 844), ("phone-dark", "dark", 390, 844)]


def main():
    binary, simulator, chromium, *wanted = sys.argv[1:]
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    with contextlib.ExitStack() as until_the_end:
        world = World(binary, simulator, until_the_end)
        world.land()
        base = world.serve()
        playwright = until_the_end.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        until_the_end.callback(browser.close)
        for test in [it_looks_well, it_shows_the_gap, it_works_without_javascript, it_says_what_cant_be_read,
                     it_follows_a_backfill, it_says_that_nobody_answers]:
            if wanted and test.__name__ not in wanted:
                continue
            began = time.monotonic()
            test(browser, base, world)
            print(f"ok   {test.__name__:32} {time.monotonic() - began:3.0f} s", flush=True)


class World:
    """The simulators, jobs.yaml, the lake, and the daemon."""

    def __init__(self, binary, simulator, until_the_end):
        self.binary, self.until_the_end = pathlib.Path(binary).resolve(), until_the_end
        self.now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self.simulated = subprocess.Popen(
            [simulator, str(RECORDS), str(DAYS), "0", text(self.now)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        until_the_end.callback(self.simulated.kill)
        self.variables = {"LAKE_URL": f"file://{SCRATCH / 'lake'}"}
        for line in self.simulated.stdout:
            name, value = line.strip().removeprefix("export ").split("=", 1)
            self.variables[name] = value
            if name == "AUDITLAKE_START":
                break

    def day(self, ago):
        """The date of so many days ago."""
        return (self.now - datetime.timedelta(days=ago)).date()

    def configure(self, start):
        """The repository's jobs.yaml; the job with the gap begins at `start` and isn't due before half a day is over."""
        jobs = (ROOT / "jobs.yaml").read_text()
        ours = jobs.replace('schedule: "*/15 * * * *"', f'start: {start}\n    schedule: "0 {(self.now.hour + 12) % 24} * * *"')
        assert ours != jobs
        (SCRATCH / "jobs.yaml").write_text(ours)

    def command(self, *arguments):
        return [self.binary, *arguments, "--config", SCRATCH / "jobs.yaml"]

    def environment(self, **more):
        return {**os.environ, **self.variables, **more}

    def run(self, *arguments):
        done = subprocess.run(
            self.command(*arguments), env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{arguments}: {done.stderr}")

    def land(self):
        """Up to now, the last hours one by one, so that some rows are late; then the older stretch."""
        self.configure(self.day(FIRST))
        for hours in [50, *range(30, -1, -1)]:
            now = text(self.now - datetime.timedelta(hours=hours))
            self.simulated.stdin.write(now + "\n")
            self.simulated.stdin.flush()
            assert self.simulated.stdout.readline().strip() == f"# now {now}"
            self.run("run", "--once", "--as-of", now, *(["--job", JOB] if 0 < hours < 50 else []))
        since, to = FILLED
        self.configure(self.day(since))
        self.run("backfill", "--job", JOB, "--from", str(self.day(since)), "--to", str(self.day(to)))

    def serve(self):
        """Starts the daemon; where it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        log = self.until_the_end.enter_context((SCRATCH / "daemon.log").open("w"))
        self.daemon = subprocess.Popen(
            self.command("run"), env=self.environment(AUDITLAKE_LISTEN=address, **LIMITS), stdout=log, stderr=log
        )
        self.until_the_end.callback(self.daemon.kill)
        base = f"http://{address}"
        until("the daemon is ready", lambda: get(base + "/readyz") == "ready\n")
        return base

    def gap(self):
        """The days of the gap."""
        return [str(self.day(ago)) for ago in range(FILLED[1], FIRST, -1)]


def text(time):
    return time.isoformat().replace("+00:00", "Z")


def get(url):
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.read().decode()
    except OSError:
        return None


def until(what, is_so, wait=lambda: time.sleep(0.1)):
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < PATIENCE / 1000, f"never so: {what}"
        wait()


@contextlib.contextmanager
def page_of(browser, base, path, scheme="light", width=1280, height=900, javascript=True):
    """A page, of which nothing may be wrong in the browser's own eyes."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, java_script_enabled=javascript,
        bypass_csp=False, reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    wrong = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(base + "/") else wrong.append(f"asks {asked.url}"))
    page.wrong = wrong
    assert page.goto(base + path).ok, path
    yield page
    assert not wrong, wrong
    context.close()


def comes(what, page, is_so):
    """Waits for something that the page comes to show. Its own `wait_for_function` is nothing that the page's policy allows."""
    until(what, is_so, lambda: page.wait_for_timeout(100))


def newest_run(page):
    return page.locator("#runs ~ .scroll tbody a").first.get_attribute("href")


def it_looks_well(browser, base, world):
    """No errors, no fault that axe finds, nothing beside the page, in light and dark, wide and narrow."""
    with page_of(browser, base, f"/jobs/{JOB}") as page:
        run = newest_run(page)
    pages = [("overview", "/"), ("job", f"/jobs/{JOB}"), ("job-2", "/jobs/avaya-audits"), ("run", run)]
    for name, path in pages:
        for look, scheme, width, height in LOOKS:
            where = f"{name}-{look}"
            with page_of(browser, base, path, scheme, width, height) as page:
                page.screenshot(path=SCRATCH / f"{where}.png", full_page=True)
                beside = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert beside == 0, f"{where}: {beside} pixels too wide"
                found = Axe().run(page).response["violations"]
                assert not found, f"{where}: " + json.dumps(
                    [[one["id"], [node["html"][:200] for node in one["nodes"]]] for one in found], indent=1)
                scroll = page.evaluate("[...document.querySelectorAll('.scroll')].every(one => one.tabIndex === 0)")
                assert scroll, f"{where}: something that scrolls can't be reached by keyboard"


def gaps(page, within="main"):
    """The days that a page shows as gaps, told by their words."""
    titles = page.locator(f"{within} td.h").evaluate_all("cells => cells.map(cell => cell.title)")
    days = [re.fullmatch(r"([\d-]+): GAP, passed over; .* missing of .*", title) for title in titles]
    assert all(days), titles
    return sorted(day[1] for day in days)


def it_shows_the_gap(browser, base, world):
    with page_of(browser, base, "/") as page:
        row = f".calendar tr:has(a[href='/jobs/{JOB}'])"
        assert gaps(page, row) == world.gap(), gaps(page, row)
        assert gaps(page) == world.gap(), "no other job has one"
        assert page.locator(".verdict").inner_text() == "! 1 job needs a look"
        signs = page.locator("td.h").all_inner_texts()
        assert set(signs) == {"!"}, "not by colour alone"
        page.click(f".jobs a[href='/jobs/{JOB}']")
        assert gaps(page, ".days") == world.gap()
        assert page.locator("td.e").count() == 0, "what comes after the gap is fresh, though the watermark is old"
        assert page.locator("td.h strong").first.inner_text() == "! 1d"
        since, to = (f"{day}T00:00:00Z" for day in (world.gap()[0], world.day(FIRST)))
        assert page.get_by_text(f"auditlake backfill --job {JOB} --from {since} --to {to}").is_visible()


def it_works_without_javascript(browser, base, world):
    for path in ["/", f"/jobs/{JOB}"]:
        with page_of(browser, base, path, javascript=False) as page:
            assert gaps(page) == world.gap(), path
            assert page.locator("meta[http-equiv=refresh]").get_attribute("content") == "30"
            assert page.locator("#live").inner_text() == ""
    with page_of(browser, base, "/", javascript=False) as page:
        page.click(f".jobs a[href='/jobs/{JOB}']")
        page.click(f"a[href='{newest_run(page)}'] >> nth=0")
        assert page.locator("h1").inner_text() == f"Run of {JOB}"


def it_says_what_cant_be_read(browser, base, world):
    """A commit that no version can read: the job stands as it stood, and the page says so."""
    commits = SCRATCH / "lake/_auditlake/jobs/avaya-audits/commits"
    newest = max(int(one.stem) for one in commits.glob("*.json"))
    broken = commits / f"{newest + 1:020}.json"
    with page_of(browser, base, "/") as page:
        before = page.locator("td[data-label=Watermark]").all_inner_texts()
        broken.write_text("{")
        try:
            page.get_by_role("heading", name="The lake can't be read").wait_for()
            assert page.get_by_text("1 job can't be read; what is shown of it is as of").is_visible()
            assert page.locator("td[data-label=Watermark]").all_inner_texts() == before
            assert page.locator("tr:has(a[href='/jobs/avaya-audits']) .badge").inner_text() == "? unreadable"
        finally:
            broken.unlink()
        page.get_by_role("heading", name="The lake can't be read").wait_for(state="detached")


def it_follows_a_backfill(browser, base, world):
    """By itself, and without taking away what the reader is at."""
    between = ("--from", str(world.day(FILLED[1])), "--to", str(world.day(FIRST)))
    command = world.command("backfill", "--job", JOB, *between)
    with page_of(browser, base, f"/jobs/{JOB}", height=600) as page:
        page.evaluate("window.same = true")
        page.click("#streams-more summary")
        link = page.locator("#runs ~ .scroll tbody a").last
        link.focus()
        focused = link.get_attribute("href")
        place = page.evaluate("scrollY")
        assert place > 0
        slow = subprocess.Popen(
            command, env=world.environment(GENESYS_RATE_LIMIT=SLOW), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            page.locator(".title .running").wait_for()
            all_of_it = len(world.gap())
            comes("a part of the gap is filled", page, lambda: len(gaps(page)) < all_of_it)
            assert slow.poll() is None, "it is under way"
            assert gaps(page) == world.gap()[-len(gaps(page)):], "the oldest days are filled first"
        finally:
            slow.send_signal(signal.SIGTERM)
            slow.wait()
        subprocess.run(command, env=world.environment(), check=True, capture_output=True)
        comes("all of the gap is filled", page, lambda: not gaps(page))
        assert page.locator(".title .badge").inner_text() == "✓ whole"
        assert page.evaluate("window.same"), "the page was never loaded again"
        assert page.locator("#streams-more").get_attribute("open") is not None
        assert page.evaluate("document.activeElement.getAttribute('href')") == focused
        assert page.evaluate("scrollY") > 0

        page.get_by_role("button", name="Pause").click()
        told = page.locator(".foot").inner_text()
        page.wait_for_timeout(7_000)  # longer than it waits between two looks
        assert page.locator(".foot").inner_text() == told, "it was to pause"
        page.get_by_role("button", name="Resume").click()
        comes("it goes on", page, lambda: page.locator(".foot").inner_text() != told)


def it_says_that_nobody_answers(browser, base, world):
    with page_of(browser, base, "/") as page:
        world.daemon.terminate()
        world.daemon.wait()
        page.locator("#live", has_text="No answer since").wait_for()
        assert page.locator(".jobs tbody tr").count() == 4, "what was known stays"
        page.wrong.clear()  # the browser's own words about refused connections


if __name__ == "__main__":
    main()
