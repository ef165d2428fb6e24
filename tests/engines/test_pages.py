"""The pages themselves: that no line of theirs is left out, and that what the cookbook answers is true."""

import collections
import datetime
import importlib.metadata
import itertools
import os
import pathlib
import re
import unittest

import cookbook
import lake
import reference

#: The engines of docs/query.md, and the package of each that is run.
PACKAGES = {
    "DuckDB": "duckdb", "Spark": "pyspark", "Polars": "polars", "DataFusion": "datafusion", "ClickHouse": "chdb",
    "PyArrow": "pyarrow", "Trino": None, "Athena": None,
}
CHANGES = {"create", "update", "delete", "enable", "disable"}


class Query(unittest.TestCase):
    def test_every_section_belongs_to_a_test(self):
        tests = pathlib.Path(__file__).parent.glob("test_*.py")
        tested = {
            heading for path in tests
            for heading in re.findall(r'^    HEADING = "(\w+)"', path.read_text(), re.MULTILINE)
        } | {"Trino", "Athena"}
        self.assertEqual(tested, PACKAGES.keys())
        self.assertEqual({block.heading for block in lake.blocks("query.md")} - {None}, PACKAGES.keys())

    def test_the_versions_are_those_that_run(self):
        page = (lake.ROOT / "docs/query.md").read_text()
        for engine, package in PACKAGES.items():
            said = re.search(rf"^\| {engine} ([\d.]*)", page, re.MULTILINE)[1]
            if engine == "ClickHouse":
                self.assertIn(f"(chdb {importlib.metadata.version('chdb')})", page)
                self.assertTrue(importlib.metadata.version("chdb-core").startswith(said))
            else:
                self.assertEqual(said, importlib.metadata.version(package) if package else "")

    def test_no_other_keys_than_the_placeholders(self):
        for page in ["query.md", "cookbook.md"]:
            self.assertNotRegex((lake.ROOT / "docs" / page).read_text(), r"AKIA|test-secret")


class Cookbook(unittest.TestCase):
    """What DuckDB answers; that the others answer the same is asked with each of them."""

    @classmethod
    def setUpClass(cls):
        cls.db = cookbook.connected()
        cls.rows = list(reference.rows(lake.HOLED))
        cls.runs = list(reference.runs(lake.HOLED))
        cls.recipes = collections.defaultdict(list)
        for marked in [None, "duckdb"]:
            for heading, _, query in cookbook.recipes(marked):
                cls.recipes[heading].append(query)

    def answer(self, heading, part):
        [query] = [query for query in self.recipes[heading] if part in query]
        return self.db.execute(query).fetchall()

    def test_every_query_answers(self):
        self.assertGreaterEqual(len(self.recipes), 5)
        for heading, queries in self.recipes.items():
            for query in queries:
                # no two jobs pull the same account here
                if "count(DISTINCT job)" in query:
                    self.assertEqual(self.db.execute(query).fetchall(), [])
                    continue
                with self.subTest(heading=heading, query=query):
                    self.assertTrue(self.db.execute(query).fetchall())

    def test_who_changed_what(self):
        changes = [row for row in self.rows if row["activity"] in CHANGES]
        newest = sorted(changes, key=lambda row: (-reference.micros(row["event_time"]), row["event_id"]))[:50]
        answer = self.answer("Who changed what last week", "AS what\nFROM audit_events")
        self.assertEqual(
            [(reference.micros(time), provider, who) for time, provider, who, *_ in answer],
            [(reference.micros(row["event_time"]), row["provider"], who(row)) for row in newest],
        )
        found = collections.Counter((who(row), row["provider"], row["entity_type"]) for row in changes)
        answer = self.answer("Who changed what last week", "AS changes,")
        self.assertEqual(
            {tuple(row[:3]): row[3] for row in answer}, {key: n for key, n in found.items() if n >= 10}
        )

    def test_what_was_done_to_one_thing(self):
        theirs = [row for row in self.rows if row["entity_id"] == "PRF377" and row["provider"] == "avaya_axp"]
        answer = self.answer("Who changed what last week", "PRF377")
        self.assertEqual([row[0] for row in answer], sorted(row["event_time"] for row in theirs))

    def test_failed_logins(self):
        failed = [row for row in self.rows if (row["activity"], row["outcome"]) == ("login", "failure")]
        found = collections.Counter((row["provider"], who(row)) for row in failed)
        answer = self.answer("Failed logins", "AS failed, min(")
        self.assertEqual({(row[0], row[1]): row[2] for row in answer}, {key: n for key, n in found.items() if n >= 2})

    def test_a_users_trail(self):
        answer = self.answer("A user's trail across providers", "session_id\nFROM")
        self.assertEqual({row[1] for row in answer}, {"genesys_cloud", "liveperson"})
        theirs = [
            row for row in self.rows
            if (row["provider"], row["actor_id"]) == ("genesys_cloud", "4f040fff-c680-46e5-ae6e-820acabba6f3")
            or (row["provider"], row["actor_login"]) == ("liveperson", "user18@example.com")
        ]
        self.assertEqual(len(answer), len(theirs))

    def test_late_records(self):
        late = [row for row in self.rows if row["late_by_ms"] is not None]
        self.assertTrue(late)
        answer = self.answer("Late records", "ingested_at, activity")
        self.assertEqual(sorted(row[1] for row in answer), sorted(row["event_time"] for row in late))
        answer = self.answer("Late records", "latest_minutes")
        self.assertEqual(sum(row[4] for row in answer), len(late))

    def test_gaps(self):
        hole = (lake.HOLE["event_date"], lake.HOLE["provider"])
        self.assertEqual([(str(date), provider) for date, provider in self.answer("Gaps", "CROSS JOIN")], [hole])
        # a day of which a file is missing
        little = self.answer("Gaps", "0.8 * usual")
        self.assertEqual([(provider, str(date)) for provider, date, *_ in little], [("genesys_cloud", "2026-03-06")])
        silences = self.answer("Gaps", "silence")
        self.assertEqual((silences[0][0], silences[0][3].days), ("avaya_axp", 1))

    def test_the_feed_is_found_not_to_be_whole(self):
        found = collections.Counter(row["job"] for row in self.rows)
        landed = collections.Counter(row["job"] for row in reference.rows(lake.LOCAL))
        theirs = [(job, landed[job], found[job]) for job in ["avaya-audits", "genesys-audits"]]
        self.assertTrue(all(landed > found for _, landed, found in theirs))
        self.assertEqual(self.answer("Is the feed whole?", "GROUP BY job) AS said"), theirs)
        answer = self.answer("Is the feed whole?", "rows_by_day")
        self.assertEqual(
            [(job, str(date)) for job, date, *_ in answer],
            [("avaya-audits", "2026-03-04"), ("genesys-audits", "2026-03-06")],
        )
        self.assertEqual([row[2] - row[3] for row in answer], [landed - found for _, landed, found in theirs])
        answer = self.answer("Is the feed whole?", "pulled_to")
        # the two minutes of `lag` before the last run's present
        self.assertEqual({reference.micros(row[2]) for row in answer}, {1_773_100_680_000_000})
        self.assertEqual({str(row[3]) for row in answer}, {"2026-03-10"})

    def test_runs_that_failed(self):
        failed = [row for row in self.runs if row["outcome"] == "failed"]
        answer = self.answer("Which runs failed and why", "error_kind, error\nFROM")
        self.assertEqual(sorted(row[2] for row in answer), sorted(row["stream"] for row in failed))
        self.assertGreater(len(answer), 1)
        for at, job, _, _, _, outcome, kind, error in answer:
            self.assertEqual((at.astimezone(datetime.UTC).date().isoformat(), job), ("2026-03-04", "avaya-audits"))
            self.assertEqual((outcome, kind), ("failed", "auth"))
            self.assertIn("status 401", error)
        [(job, kind, runs, _, _, state)] = self.answer("Which runs failed and why", "AS state")
        self.assertEqual((job, kind, runs, state), ("avaya-audits", "auth", 1, "over"))

    def test_calls_and_retries(self):
        answer = self.answer("Calls and retries by day", "AS runs")
        # so often Genesys Cloud was told to answer 503, and nobody else
        again = [(str(row[0]), row[1], row[4]) for row in answer if row[4]]
        self.assertEqual(again, [("2026-03-04", "genesys-audits", int(os.environ["ENGINES_REFUSED"]))])
        self.assertEqual([row[2] for row in answer], [1] * 16)
        calls = collections.Counter()
        for row in self.runs:
            calls[row["run_date"], row["job"]] += row["calls"]
        self.assertEqual({(str(row[0]), row[1]): row[3] for row in answer}, calls)
        answer = self.answer("Calls and retries by day", "AS what_for")
        self.assertEqual(sum(row[2] for row in answer), calls.total())

    def test_days_without_a_finished_run(self):
        answer = self.answer("Days without a finished run", "CROSS JOIN")
        self.assertEqual([(str(date), job) for date, job in answer], [("2026-03-04", "avaya-audits")])
        dates = {job: ["2026-03-03", "2026-03-04", "2026-03-06", "2026-03-10"] for job in {row["job"] for row in self.runs}}
        dates["avaya-audits"].remove("2026-03-04")
        between = [
            (job, one, other) for job in sorted(dates) for one, other in itertools.pairwise(dates[job])
            if (one, other) != ("2026-03-03", "2026-03-04")
        ]
        answer = self.answer("Days without a finished run", "lead(")
        self.assertEqual([(job, str(one), str(other)) for job, one, other in answer], between)


def who(row):
    return row["actor_login"] or row["actor_name"] or row["actor_id"]


if __name__ == "__main__":
    unittest.main()
