"""DuckDB, with DuckDB's own extension for S3 as it comes in a package."""

import pathlib
import re
import shutil
import sysconfig
import unittest

import duckdb
import pyarrow.parquet as pq

import engine
import lake
import reference

#: Where `INSTALL httpfs` would put what it downloads; it is there already.
EXTENSIONS = pathlib.Path("extensions").resolve()


def setUpModule():
    [packaged] = pathlib.Path(sysconfig.get_paths()["purelib"]).glob("duckdb_extension_httpfs/extensions/*/httpfs*")
    [(version, platform)] = duckdb.sql("SELECT version(), platform FROM pragma_platform()").fetchall()
    place = EXTENSIONS / version / platform
    place.mkdir(parents=True)
    shutil.copy(packaged, place)


class DuckDb(engine.EngineTest):
    HEADING = "DuckDB"
    TYPES = {
        "string": "VARCHAR",
        "date": "DATE",
        "int64": "BIGINT",
        "timestamp(us, UTC)": "TIMESTAMP WITH TIME ZONE",
        "list<string>": "VARCHAR[]",
        "map<string, string>": "MAP(VARCHAR, VARCHAR)",
        "list<struct<property: string, entity_type: string, entity_id: string, "
        "old_values: list<string>, new_values: list<string>>>":
            "STRUCT(property VARCHAR, entity_type VARCHAR, entity_id VARCHAR, "
            "old_values VARCHAR[], new_values VARCHAR[])[]",
        "list<struct<event_date: date, records: int64>>": "STRUCT(event_date DATE, records BIGINT)[]",
        "list<struct<within_s: int64, records: int64>>": "STRUCT(within_s BIGINT, records BIGINT)[]",
    }
    FACTS = {
        **engine.PORTABLE,
        "hours": "SELECT hour(event_time AT TIME ZONE 'UTC') AS h, count(*) FROM audit_events GROUP BY h",
        "times": "SELECT epoch_us(min(event_time)), epoch_us(max(event_time)) FROM audit_events",
        "misplaced": "SELECT count(*) FROM audit_events WHERE (event_time AT TIME ZONE 'UTC')::DATE <> event_date",
        "ips": "SELECT ip, count(*) FROM (SELECT unnest(client_ips) AS ip FROM audit_events) GROUP BY ip",
        "changes": """
            SELECT coalesce(c.property, ''), len(c.old_values), len(c.new_values), count(*)
            FROM audit_events, UNNEST(changes) AS t(c) GROUP BY ALL""",
        "new_values": """
            SELECT v, count(*) FROM audit_events, UNNEST(changes) AS t(c), UNNEST(c.new_values) AS u(v) GROUP BY ALL""",
        "attributes": """
            SELECT k, count(*) FROM (SELECT unnest(map_keys(attributes)) AS k FROM audit_events) GROUP BY k""",
        "levels": "SELECT coalesce(attributes['level'], '') AS level, count(*) FROM audit_events GROUP BY level",
        "raw_levels": "SELECT coalesce(raw::JSON ->> '$.level', '') AS level, count(*) FROM audit_events GROUP BY level",
        "landed_by_day": """
            SELECT job, d.event_date, sum(d.records) FROM audit_runs, UNNEST(rows_by_day) AS t(d) GROUP BY ALL""",
    }

    def begin(self):
        self.db = duckdb.connect(
            config={"extension_directory": str(EXTENSIONS), "allow_unsigned_extensions": "false"}
        )

    def ask(self, query):
        return self.db.execute(query).fetchall()

    def types(self, table):
        return {name: kind for name, kind, *_ in self.db.execute(f"DESCRIBE {table}").fetchall()}

    def files_read(self, by_provider):
        more = f"AND provider = '{lake.PROVIDER}'" if by_provider else ""
        plan = self.db.execute(
            f"EXPLAIN ANALYZE SELECT event_id FROM audit_events WHERE event_date = DATE '{lake.DATE}' {more}"
        ).fetchall()[0][1]
        return int(re.search(r"Total Files Read: (\d+)", plan)[1])

    def test_types_in_the_path_are_not_guessed(self):
        db = duckdb.connect()
        db.execute(lake.ddl_by_hour("duckdb"))
        found = {name: kind for name, kind, *_ in db.execute("DESCRIBE audit_events").fetchall()}
        self.assertEqual(
            [found["account_id"], found["event_month"], found["event_hour"]], ["VARCHAR", "VARCHAR", "INTEGER"]
        )
        by_hour = db.execute("SELECT account_id, event_month, event_hour, count(*) FROM audit_events GROUP BY ALL")
        self.assertEqual(sorted(map(list, by_hour.fetchall())), lake.by_account_and_hour())

    def test_the_questions_about_runs_are_answered(self):
        self.opened(lake.LOCAL)
        questions = lake.blocks("history.md", "Questions")
        self.assertGreaterEqual(len(questions), 5)
        for block in questions:
            # its days are those of somebody who asks today
            text = block.text.replace("current_date", "DATE '2026-03-10'")
            for statement in lake.statements(text):
                with self.subTest(block=block):
                    # nothing is wrong with this lake
                    self.assertEqual(bool(self.ask(statement)), "landed <> " not in statement)

    def test_bloom_filters_tell_ids_that_are_not_there(self):
        db = duckdb.connect()
        checked = 0
        for path in reference.files(lake.LOCAL):
            if pq.read_metadata(path).num_rows < lake.SMALL_ROWS:
                continue  # a small file has none
            ids = [id for (id,) in db.execute("SELECT event_id FROM read_parquet(?)", [str(path)]).fetchall()]
            for id in ids[:3]:
                self.assertEqual(self.groups_left(db, path, id), 1)
            absent = [self.groups_left(db, path, f"not there {number}") for number in range(30)]
            self.assertLess(sum(absent), 5, path)
            checked += 1
        self.assertGreater(checked, 0)

    def groups_left(self, db, path, id):
        probed = db.execute("SELECT bloom_filter_excludes FROM parquet_bloom_probe(?, 'event_id', ?)", [str(path), id])
        return sum(not excluded for (excluded,) in probed.fetchall())

    def test_statistics_bound_the_times(self):
        db = duckdb.connect()
        for path in reference.files(lake.LOCAL):
            [(least, most)] = db.execute(
                """SELECT stats_min_value, stats_max_value FROM parquet_metadata(?)
                   WHERE path_in_schema = 'event_time'""", [str(path)]).fetchall()
            [(first, last)] = db.execute(
                "SELECT min(event_time)::VARCHAR, max(event_time)::VARCHAR FROM read_parquet(?)", [str(path)]).fetchall()
            self.assertEqual(db.execute("SELECT ?::TIMESTAMPTZ = ?::TIMESTAMPTZ", [least, first]).fetchone(), (True,))
            self.assertEqual(db.execute("SELECT ?::TIMESTAMPTZ = ?::TIMESTAMPTZ", [most, last]).fetchone(), (True,))


if __name__ == "__main__":
    unittest.main()
