"""Polars."""

import unittest

import polars as pl

import engine
import lake


class Polars(engine.EngineTest):
    HEADING = "Polars"
    SQL = False
    TYPES = {
        "string": pl.String(),
        "date": pl.Date(),
        "int64": pl.Int64(),
        "timestamp(us, UTC)": pl.Datetime("us", "UTC"),
        "list<string>": pl.List(pl.String),
        "map<string, string>": pl.Map(pl.String, pl.String),
        "list<struct<property: string, entity_type: string, entity_id: string, "
        "old_values: list<string>, new_values: list<string>>>":
            pl.List(pl.Struct({
                "property": pl.String, "entity_type": pl.String, "entity_id": pl.String,
                "old_values": pl.List(pl.String), "new_values": pl.List(pl.String),
            })),
        "list<struct<event_date: date, records: int64>>": pl.List(pl.Struct({"event_date": pl.Date, "records": pl.Int64})),
        "list<struct<within_s: int64, records: int64>>": pl.List(pl.Struct({"within_s": pl.Int64, "records": pl.Int64})),
    }
    # one way to count: the last column is how often the others are there
    FACTS = {
        "rows": lambda events: events.select(pl.len()),
        "partitions": lambda events: counted(events, "provider", "event_date"),
        "nulls": lambda events: events.select(pl.col("actor_login").null_count(), pl.col("late_by_ms").null_count()),
        "late": lambda events: counted(events.filter(pl.col("late_by_ms") > 1000), "provider"),
        "raw": lambda events: events.select(pl.col("raw").str.len_chars().sum()),
        "hours": lambda events: counted(events, pl.col("event_time").dt.hour()),
        "times": lambda events: events.select(
            pl.col("event_time").min().dt.epoch("us").alias("min"), pl.col("event_time").max().dt.epoch("us").alias("max")
        ),
        "misplaced": lambda events: events.filter(pl.col("event_time").dt.date() != pl.col("event_date")).select(pl.len()),
        "ips": lambda events: counted(exploded(events, "client_ips"), "client_ips"),
        "changes": lambda events: counted(
            exploded(events, "changes").unnest("changes"),
            pl.col("property").fill_null(""), pl.col("old_values").list.len(), pl.col("new_values").list.len(),
        ),
        "new_values": lambda events: counted(
            exploded(exploded(events, "changes").unnest("changes"), "new_values"), "new_values"
        ),
        "attributes": lambda events: counted(
            exploded(events.select(pl.col("attributes").map.keys()), "attributes"), "attributes"
        ),
        "levels": lambda events: counted(events, pl.col("attributes").map.get("level").fill_null("")),
        "raw_levels": lambda events: counted(events, pl.col("raw").str.json_path_match("$.level").fill_null("")),
        "landed": lambda runs: runs.group_by("job").agg(pl.col("new").sum(), pl.col("late").sum()),
        "landed_by_day": lambda runs: (
            runs.select("job", "rows_by_day").filter(pl.col("rows_by_day").list.len() > 0)
            .explode("rows_by_day").unnest("rows_by_day").group_by("job", "event_date").agg(pl.col("records").sum())
        ),
        "outcomes": lambda runs: counted(runs, "run_date", "job", "outcome"),
    }

    @property
    def events(self):
        return self.names["events"]

    def ask(self, query):
        return query(*self.tables_of(query)).collect().rows()

    def types(self, table):
        return dict(self.names[table.removeprefix("audit_")].collect_schema())

    def files_read(self, by_provider):
        asked = self.events.filter(pl.col("event_date") == pl.lit(lake.DATE).str.to_date())
        if by_provider:
            asked = asked.filter(pl.col("provider") == lake.PROVIDER)
        plan = asked.select("event_id").explain()
        [scan] = [line for line in plan.splitlines() if "Parquet SCAN" in line]
        return scan.count(".parquet") + more_sources(scan)


def counted(events, *columns):
    return events.group_by(*columns).len()


def exploded(events, column):
    # an empty list would become a null
    return events.select(column).filter(pl.col(column).list.len() > 0).explode(column)


def more_sources(scan):
    """`[a.parquet, ... 34 other sources]`"""
    words = scan.split()
    return int(words[words.index("other") - 1]) if "other" in words else 0


if __name__ == "__main__":
    unittest.main()
