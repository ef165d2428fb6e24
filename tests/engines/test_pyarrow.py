"""PyArrow, and what stands in the files' footers."""

import datetime
import json
import unittest

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import arrow
import engine
import lake
import reference


class PyArrow(engine.EngineTest):
    HEADING = "PyArrow"
    SQL = False
    TYPES = arrow.TYPES
    FACTS = {
        "rows": lambda events: [[events.count_rows()]],
        "partitions": lambda events: counted(events.to_table(["provider", "event_date"])),
        "nulls": lambda events: [[column.null_count for column in events.to_table(["actor_login", "late_by_ms"])]],
        "late": lambda events: counted(events.to_table(["provider"], filter=ds.field("late_by_ms") > 1000)),
        "raw": lambda events: [[pc.sum(pc.utf8_length(column(events, "raw"))).as_py()]],
        "hours": lambda events: counted_values(pc.hour(column(events, "event_time"))),
        "times": lambda events: [[
            value.value for value in pc.min_max(column(events, "event_time")).values()
        ]],
        "misplaced": lambda events: [[misplaced(events.to_table(["event_time", "event_date"]))]],
        "ips": lambda events: counted_values(pc.list_flatten(column(events, "client_ips"))),
        "changes": lambda events: counted(pa.table({
            "property": pc.fill_null(field(changes(events), "property"), ""),
            "old": pc.list_value_length(field(changes(events), "old_values")),
            "new": pc.list_value_length(field(changes(events), "new_values")),
        })),
        "new_values": lambda events: counted_values(pc.list_flatten(field(changes(events), "new_values"))),
        "attributes": lambda events: counted_values(
            pa.chunked_array([chunk.keys for chunk in column(events, "attributes").chunks])
        ),
        "levels": lambda events: counted_values(
            pc.fill_null(pc.map_lookup(column(events, "attributes"), "level", "first"), "")
        ),
        # it has no function that reads JSON
        "raw_levels": lambda events: counted_values(
            pa.array(json.loads(raw.as_py()).get("level") or "" for raw in column(events, "raw"))
        ),
        "landed": lambda runs: summed(runs.to_table(["job", "new", "late"]), ["job"], ["new", "late"]),
        "landed_by_day": lambda runs: summed(by_day(runs.to_table(["job", "rows_by_day"])), ["job", "day"], ["records"]),
        "outcomes": lambda runs: counted(runs.to_table(["run_date", "job", "outcome"])),
    }

    @property
    def events(self):
        return self.names["events"]

    def ask(self, query):
        return query(*self.tables_of(query))

    def types(self, table):
        return {field.name: arrow.plainly(field.type) for field in self.names[table.removeprefix("audit_")].schema}

    def files_read(self, by_provider):
        asked = ds.field("event_date") == datetime.date.fromisoformat(lake.DATE)
        if by_provider:
            asked &= ds.field("provider") == lake.PROVIDER
        return len(list(self.events.get_fragments(filter=asked)))


class Footers(unittest.TestCase):
    """What lets engines skip: in every row group of every file."""

    @staticmethod
    def groups():
        for path in reference.files(lake.LOCAL):
            metadata = pq.ParquetFile(path).metadata
            for number in range(metadata.num_row_groups):
                group = metadata.row_group(number)
                chunks = (group.column(place) for place in range(group.num_columns))
                yield path, group, {chunk.path_in_schema: chunk for chunk in chunks}

    def test_ids_have_a_bloom_filter(self):
        sizes = set()
        for path, group, chunks in self.groups():
            is_large = group.num_rows >= lake.SMALL_ROWS
            sizes.add(is_large)
            self.assertEqual(chunks["event_id"].bloom_filter_offset is not None, is_large, path)
            if is_large:
                self.assertGreaterEqual(chunks["event_id"].bloom_filter_length, 32, path)
        self.assertEqual(sizes, {True, False})

    def test_columns_have_statistics(self):
        for path, group, chunks in self.groups():
            is_large = group.num_rows >= lake.SMALL_ROWS
            for name, chunk in chunks.items():
                if name == "raw":
                    continue
                if not is_large and name != "event_time":
                    self.assertFalse(chunk.is_stats_set, f"{name} in {path}")
                    continue
                self.assertTrue(chunk.is_stats_set and chunk.statistics.has_null_count, f"{name} in {path}")
                some = chunk.statistics.null_count < chunk.num_values
                self.assertEqual(chunk.statistics.has_min_max, some, f"{name} in {path}")
            self.assertEqual(chunks["event_time"].has_column_index, is_large, path)
            self.assertEqual(chunks["event_time"].has_offset_index, is_large, path)

    def test_times_are_in_order_and_bounded(self):
        for path, group, chunks in self.groups():
            times = pq.ParquetFile(path).read(["event_time"])["event_time"].to_pylist()
            self.assertEqual(times, sorted(times), path)
            statistics = chunks["event_time"].statistics
            self.assertEqual((statistics.min, statistics.max), (times[0], times[-1]), path)
            self.assertEqual(group.sorting_columns[0].column_index, 1, path)

    def test_types_are_those_of_parquet_itself(self):
        for path in reference.files(lake.LOCAL):
            schema = pq.ParquetFile(path).schema
            columns = {schema.column(place).path: schema.column(place) for place in range(len(schema))}
            for name in ["event_time", "ingested_at"]:
                logical = json.loads(columns[name].logical_type.to_json())
                self.assertEqual((logical["Type"], logical["isAdjustedToUTC"]), ("Timestamp", True), path)
                self.assertEqual(logical["timeUnit"], "microseconds", path)
            self.assertIn("changes.list.element.new_values.list.element", columns, path)
            self.assertIn("attributes.key_value.key", columns, path)
            # what is in the path is not in the file
            self.assertFalse({"provider", "event_date"} & columns.keys(), path)


def column(events, name):
    return events.to_table([name])[name]


def changes(events):
    return pc.list_flatten(column(events, "changes"))


def field(structs, name):
    return pc.struct_field(structs, name)


def counted(table):
    return [list(row.values()) for row in table.group_by(table.column_names).aggregate([([], "count_all")]).to_pylist()]


def summed(table, keys, columns):
    sums = table.group_by(keys).aggregate([(column, "sum") for column in columns])
    return [list(row.values()) for row in sums.select(keys + [f"{column}_sum" for column in columns]).to_pylist()]


def by_day(table):
    days = pc.list_flatten(table["rows_by_day"])
    return pa.table({
        "job": table["job"].take(pc.list_parent_indices(table["rows_by_day"])),
        "day": pc.struct_field(days, "event_date"), "records": pc.struct_field(days, "records"),
    })


def counted_values(values):
    return [[one["values"], one["counts"]] for one in pc.value_counts(values).to_pylist()]


def misplaced(table):
    return pc.sum(pc.not_equal(table["event_time"].cast(pa.date32()), table["event_date"])).as_py()


if __name__ == "__main__":
    unittest.main()
