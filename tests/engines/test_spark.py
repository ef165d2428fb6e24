"""Spark, in local mode. On S3 it needs hadoop-aws, which comes from Maven and isn't here."""

import os
import unittest

import pyspark.sql

import engine
import lake

os.environ["PYSPARK_SUBMIT_ARGS"] = (
    "--master local[2] --conf spark.driver.host=127.0.0.1 --conf spark.sql.shuffle.partitions=2 "
    "--conf spark.ui.enabled=false --conf spark.ui.showConsoleProgress=false pyspark-shell"
)


class Spark(engine.EngineTest):
    HEADING = "Spark"
    PLACES = [lake.LOCAL]
    TYPES = {
        "string": "string",
        "date": "date",
        "int64": "bigint",
        "timestamp(us, UTC)": "timestamp",
        "list<string>": "array<string>",
        "map<string, string>": "map<string,string>",
        "list<struct<property: string, entity_type: string, entity_id: string, "
        "old_values: list<string>, new_values: list<string>>>":
            "array<struct<property:string,entity_type:string,entity_id:string,"
            "old_values:array<string>,new_values:array<string>>>",
        "list<struct<event_date: date, records: int64>>": "array<struct<event_date:date,records:bigint>>",
        "list<struct<within_s: int64, records: int64>>": "array<struct<within_s:bigint,records:bigint>>",
    }
    FACTS = {
        **engine.PORTABLE,
        # `hour()` would be that of the session's zone
        "hours": "SELECT (unix_micros(event_time) DIV 3600000000) % 24 AS h, count(*) FROM audit_events GROUP BY h",
        "times": "SELECT unix_micros(min(event_time)), unix_micros(max(event_time)) FROM audit_events",
        "misplaced": """
            SELECT count(*) FROM audit_events
            WHERE date_from_unix_date(CAST(unix_micros(event_time) DIV 86400000000 AS INT)) <> event_date""",
        "ips": "SELECT ip, count(*) FROM audit_events LATERAL VIEW explode(client_ips) AS ip GROUP BY ip",
        "changes": """
            SELECT coalesce(c.property, ''), size(c.old_values), size(c.new_values), count(*)
            FROM audit_events LATERAL VIEW explode(changes) AS c GROUP BY 1, 2, 3""",
        "new_values": """
            SELECT v, count(*) FROM audit_events LATERAL VIEW explode(changes) AS c
            LATERAL VIEW explode(c.new_values) AS v GROUP BY v""",
        "attributes": "SELECT k, count(*) FROM audit_events LATERAL VIEW explode(map_keys(attributes)) AS k GROUP BY k",
        "levels": "SELECT coalesce(attributes['level'], '') AS level, count(*) FROM audit_events GROUP BY level",
        "raw_levels": """
            SELECT coalesce(get_json_object(raw, '$.level'), '') AS level, count(*) FROM audit_events GROUP BY level""",
        "landed_by_day": """
            SELECT job, d.event_date, sum(d.records) FROM audit_runs LATERAL VIEW explode(rows_by_day) AS d GROUP BY 1, 2""",
    }

    def begin(self):
        super().begin()
        session = pyspark.sql.SparkSession.getActiveSession()
        if session:
            for table in lake.TABLES:
                session.sql(f"DROP TABLE IF EXISTS {table}")

    @property
    def spark(self):
        return self.names["spark"]

    def ask(self, query):
        return [list(row) for row in self.spark.sql(query).collect()]

    def types(self, table):
        return dict(self.spark.table(table).dtypes)

    def files_read(self, by_provider):
        asked = self.spark.table("audit_events").where(f"event_date = DATE '{lake.DATE}'")
        if by_provider:
            asked = asked.where(f"provider = '{lake.PROVIDER}'")
        # a filter on the partitions, not on the rows
        plan = asked._jdf.queryExecution().executedPlan().toString()
        self.assertRegex(plan, r"PartitionFilters: \[[^\]]*event_date#\d+ = 2026-03-02")
        return len(asked.inputFiles())

    def test_times_are_instants_in_any_zone(self):
        self.opened(lake.LOCAL)
        query = "SELECT min(event_time) || '', min(unix_micros(event_time)) FROM audit_events"
        seen = []
        for zone in ["UTC", "America/St_Johns"]:
            self.spark.conf.set("spark.sql.session.timeZone", zone)
            seen += self.ask(query)
        self.spark.conf.set("spark.sql.session.timeZone", "UTC")
        [[utc, instant], [there, same]] = seen
        self.assertEqual(instant, same)
        self.assertNotEqual(utc, there)

    def test_types_in_the_path_are_not_guessed(self):
        self.opened(lake.LOCAL)
        self.spark.sql("DROP TABLE audit_events")
        for statement in lake.statements(lake.ddl_by_hour("spark")):
            self.ask(statement)
        found = self.types("audit_events")
        self.assertEqual([found["account_id"], found["event_month"], found["event_hour"]], ["string", "string", "int"])
        by_hour = self.ask("SELECT account_id, event_month, event_hour, count(*) FROM audit_events GROUP BY 1, 2, 3")
        self.assertEqual(sorted(by_hour), lake.by_account_and_hour())


if __name__ == "__main__":
    unittest.main()
