"""ClickHouse, as chdb: the server's own code in this process."""

import json
import unittest

from chdb.session import Session

import engine
import lake


class ClickHouse(engine.EngineTest):
    HEADING = "ClickHouse"
    TYPES = {
        "string": "String",
        "date": "Date32",
        "int64": "Int64",
        "timestamp(us, UTC)": "DateTime64(6, 'UTC')",
        "list<string>": "Array(String)",
        "map<string, string>": "Map(String, String)",
        "list<struct<property: string, entity_type: string, entity_id: string, "
        "old_values: list<string>, new_values: list<string>>>":
            "Array(Tuple(property Nullable(String), entity_type Nullable(String), entity_id Nullable(String), "
            "old_values Array(String), new_values Array(String)))",
        "list<struct<event_date: date, records: int64>>": "Array(Tuple(event_date Date32, records Int64))",
        "list<struct<within_s: int64, records: int64>>": "Array(Tuple(within_s Nullable(Int64), records Int64))",
    }
    FACTS = {
        **engine.PORTABLE,
        "hours": "SELECT toHour(event_time) AS h, count() FROM audit_events GROUP BY h",
        "times": "SELECT toUnixTimestamp64Micro(min(event_time)), toUnixTimestamp64Micro(max(event_time)) FROM audit_events",
        "misplaced": "SELECT count() FROM audit_events WHERE toDate32(event_time) <> event_date",
        "ips": "SELECT arrayJoin(client_ips) AS ip, count() FROM audit_events GROUP BY ip",
        "changes": """
            SELECT coalesce(c.property, ''), length(c.old_values), length(c.new_values), count()
            FROM audit_events ARRAY JOIN changes AS c GROUP BY ALL""",
        "new_values": """
            SELECT v, count() FROM audit_events ARRAY JOIN changes AS c ARRAY JOIN c.new_values AS v GROUP BY v""",
        "attributes": "SELECT arrayJoin(mapKeys(attributes)) AS k, count() FROM audit_events GROUP BY k",
        "levels": "SELECT attributes['level'] AS level, count() FROM audit_events GROUP BY level",
        "raw_levels": "SELECT JSONExtractString(raw, 'level') AS level, count() FROM audit_events GROUP BY level",
        "landed_by_day": """
            SELECT job, d.event_date, sum(d.records) FROM audit_runs ARRAY JOIN rows_by_day AS d GROUP BY ALL""",
    }

    def begin(self):
        self.session = Session()
        # it is the last one again, with its tables: those of another place
        for table in lake.TABLES:
            self.session.query(f"DROP TABLE IF EXISTS {table}")
        self.session.query("SET output_format_json_quote_64bit_integers = 0")

    def tearDown(self):
        self.session.close()

    def ask(self, query):
        answer = str(self.session.query(query, "JSONCompactEachRow"))
        return [json.loads(line) for line in answer.splitlines()]

    def types(self, table):
        return {name: " ".join(kind.split()).replace("( ", "(") for name, kind, *_ in self.ask(f"DESCRIBE {table}")}

    def expected_types(self, table):
        required = lake.required(table)
        # lists and maps can't be null here, nor are they
        return {
            name: kind if name in required or kind.startswith(("Array", "Map")) else f"Nullable({kind})"
            for name, kind in super().expected_types(table).items()
        }

    def files_read(self, by_provider):
        more = f"AND provider = '{lake.PROVIDER}'" if by_provider else ""
        # its plan doesn't name files, but it counts those that it opens
        before = self.files_opened()
        self.ask(f"SELECT count(event_id) FROM audit_events WHERE event_date = '{lake.DATE}' {more}")
        return self.files_opened() - before

    def files_opened(self):
        found = self.ask("SELECT value FROM system.events WHERE event = 'EngineFileLikeReadFiles'")
        return found[0][0] if found else 0

    def test_types_in_the_path_are_not_guessed(self):
        self.begin()
        for statement in lake.statements(lake.ddl_by_hour("clickhouse")):
            self.ask(statement)
        found = {name: kind for name, kind, *_ in self.ask("DESCRIBE audit_events")}
        self.assertEqual(
            [found["account_id"], found["event_month"], found["event_hour"]], ["String", "String", "Int32"]
        )
        by_hour = self.ask(
            "SELECT account_id, event_month, event_hour, count() FROM audit_events GROUP BY ALL"
        )
        self.assertEqual(sorted(by_hour), lake.by_account_and_hour())


if __name__ == "__main__":
    unittest.main()
