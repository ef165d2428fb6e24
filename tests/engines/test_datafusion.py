"""DataFusion."""

import re
import unittest

import pyarrow.parquet as pq

import arrow
import engine
import lake
import reference


class DataFusion(engine.EngineTest):
    HEADING = "DataFusion"
    TYPES = arrow.TYPES
    FACTS = {
        **engine.PORTABLE,
        "hours": "SELECT date_part('hour', event_time) AS h, count(*) FROM audit_events GROUP BY h",
        "times": "SELECT arrow_cast(min(event_time), 'Int64'), arrow_cast(max(event_time), 'Int64') FROM audit_events",
        "misplaced": "SELECT count(*) FROM audit_events WHERE CAST(event_time AS DATE) <> event_date",
        "ips": "SELECT ip, count(*) FROM (SELECT unnest(client_ips) AS ip FROM audit_events) GROUP BY ip",
        "changes": """
            SELECT coalesce(c['property'], '') AS p, coalesce(array_length(c['old_values']), 0) AS o,
                   coalesce(array_length(c['new_values']), 0) AS n, count(*)
            FROM (SELECT unnest(changes) AS c FROM audit_events) GROUP BY p, o, n""",
        "new_values": """
            SELECT v, count(*) FROM (
                SELECT unnest(c['new_values']) AS v FROM (SELECT unnest(changes) AS c FROM audit_events)) GROUP BY v""",
        "attributes": "SELECT k, count(*) FROM (SELECT unnest(map_keys(attributes)) AS k FROM audit_events) GROUP BY k",
        "levels": """
            SELECT coalesce(map_extract(attributes, 'level')[1], '') AS level, count(*) FROM audit_events GROUP BY level""",
        # it has no function that reads JSON
        "raw_levels": """
            SELECT coalesce(regexp_match(raw, '"level"\\s*:\\s*"([A-Z_]+)"')[1], '') AS level, count(*)
            FROM audit_events GROUP BY level""",
        "landed_by_day": """
            SELECT job, d['event_date'] AS day, sum(d['records'])
            FROM (SELECT job, unnest(rows_by_day) AS d FROM audit_runs) GROUP BY job, day""",
    }

    @property
    def context(self):
        return self.names["ctx"]

    def ask(self, query):
        return [list(row.values()) for row in self.context.sql(query).to_pylist()]

    def types(self, table):
        return {field.name: arrow.plainly(field.type) for field in self.context.table(table).schema()}

    def files_read(self, by_provider):
        more = f"AND provider = '{lake.PROVIDER}'" if by_provider else ""
        [plan] = [
            text for kind, text in self.ask(
                f"EXPLAIN SELECT event_id FROM audit_events WHERE event_date = DATE '{lake.DATE}' {more}"
            ) if kind == "physical_plan"
        ]
        return plan.count(".parquet")

    def test_bloom_filters_spare_row_groups(self):
        self.opened(lake.LOCAL)
        # an id that lies between those that are there, so that statistics don't rule it out
        [[least, most]] = self.ask("SELECT min(event_id), max(event_id) FROM audit_events")
        absent = "8" * 32
        self.assertTrue(least < absent < most)
        [plan] = [text for _, text in self.ask(f"EXPLAIN ANALYZE SELECT raw FROM audit_events WHERE event_id = '{absent}'")]
        asked, left = map(int, re.search(
            r"row_groups_pruned_bloom_filter=(\d+) total → (\d+) matched", plan).groups())
        # a small file has none
        large = sum(pq.read_metadata(path).num_rows >= lake.SMALL_ROWS for path in reference.files(lake.LOCAL))
        self.assertGreater(large, 0)
        self.assertEqual(asked - left, large, plan)


if __name__ == "__main__":
    unittest.main()
