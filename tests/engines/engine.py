"""What is asked of each engine, and how the pages' lines are run in it."""

import contextlib
import inspect
import io
import json
import os
import pathlib
import unittest

import cookbook
import lake
import reference

#: The facts whose SQL is the same everywhere.
PORTABLE = {
    "rows": "SELECT count(*) FROM audit_events",
    "partitions": "SELECT provider, event_date, count(*) FROM audit_events GROUP BY provider, event_date",
    "nulls": "SELECT count(*) - count(actor_login), count(*) - count(late_by_ms) FROM audit_events",
    "late": "SELECT provider, count(*) FROM audit_events WHERE late_by_ms > 1000 GROUP BY provider",
    "raw": "SELECT sum(char_length(raw)) FROM audit_events",
    "landed": "SELECT job, sum(new), sum(late) FROM audit_runs GROUP BY job",
    "outcomes": "SELECT run_date, job, outcome, count(*) FROM audit_runs GROUP BY run_date, job, outcome",
}


class EngineTest(unittest.TestCase):
    """What is asked of each engine, in each place where it can read."""

    maxDiff = 2_000
    #: The section of docs/query.md.
    HEADING = ""
    #: The engine's own types for those of `auditlake schema --format json`.
    TYPES = {}
    #: The facts, as it asks for them.
    FACTS = {}
    PLACES = [lake.LOCAL, lake.S3]
    #: Whether it speaks enough of it for docs/cookbook.md.
    SQL = True

    # What an engine's test has:

    def begin(self):
        """A new session that knows nothing."""
        self.names = {}

    def ask(self, query):
        """The rows of the answer."""
        raise NotImplementedError

    def types(self, table):
        """Name and type of each column."""
        raise NotImplementedError

    def files_read(self, by_provider):
        """How many files the plan has for `lake.DATE`, or for `lake.PROVIDER` on it."""
        raise NotImplementedError

    def tables_of(self, query):
        """What a function takes: `events`, `runs`, as the page's lines name them."""
        return [self.names[name] for name in inspect.signature(query).parameters]

    # How the page is run:

    def run_block(self, block, place):
        """As a user would who pasted it, with their own lake's name in it."""
        text = block.at(place)
        if block.language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(text, str(block), "exec"), self.names)
            self.assertTrue("print" not in text or printed.getvalue().strip(), block)
            return
        if block.language == "sh":
            text = lake.printed(text)
        for statement in lake.statements(text):
            with self.subTest(place=place, block=block, statement=statement):
                rows = self.ask(statement)
                self.assertTrue(rows or not statement.startswith("SELECT"), "no rows")

    def opened(self, place):
        """Makes the table known as the page says."""
        if place == lake.S3:
            lake.set_up_s3()
        self.begin()
        for block in lake.blocks("query.md", self.HEADING):
            if "open" in block.marks and (place == lake.S3 or "s3" not in block.marks):
                self.run_block(block, place)

    def test_the_lines_of_the_page_run(self):
        section = lake.blocks("query.md", self.HEADING)
        self.assertTrue(section, f"no section {self.HEADING}")
        for place in self.PLACES:
            if place == lake.S3:
                lake.set_up_s3()
            self.begin()
            for block in section:
                if place == lake.S3 or "s3" not in block.marks:
                    self.run_block(block, place)

    # What is asked:

    def test_it_finds_what_is_there(self):
        self.assertEqual(lake.FACTS.keys(), self.FACTS.keys())
        for place in self.PLACES:
            self.opened(place)
            for name, expected in lake.FACTS.items():
                with self.subTest(place=place, fact=name):
                    found = sorted([lake.plain(value) for value in row] for row in self.ask(self.FACTS[name]))
                    self.assertEqual(found, sorted(expected))

    def test_the_cookbook(self):
        if not self.SQL:
            self.skipTest("it has no SQL, or too little")
        answers = json.loads(pathlib.Path(os.environ["ENGINES_COOKBOOK"]).read_text())
        self.opened(lake.HOLED)
        for (_, block, query), answer in zip(cookbook.recipes(), answers, strict=True):
            with self.subTest(block=block, query=query):
                self.assertEqual(cookbook.comparable(self.ask(query)), answer)

    def test_types_are_right(self):
        for place in self.PLACES:
            self.opened(place)
            for table in lake.TABLES:
                with self.subTest(place=place, table=table):
                    self.assertEqual(self.types(table), self.expected_types(table))

    def expected_types(self, table):
        return {name: self.TYPES[kind] for name, kind in lake.columns(table).items()}

    def test_it_reads_only_the_partitions_that_are_asked_for(self):
        for place in self.PLACES:
            self.opened(place)
            with self.subTest(place=place):
                day, one = lake.files_of(event_date=lake.DATE), lake.files_of(event_date=lake.DATE, provider=lake.PROVIDER)
                self.assertTrue(0 < len(one) < len(day) < len(reference.files(lake.LOCAL)))
                self.assertEqual(self.files_read(by_provider=False), len(day))
                self.assertEqual(self.files_read(by_provider=True), len(one))
