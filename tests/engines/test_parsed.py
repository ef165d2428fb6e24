"""Trino and Athena, which can't be run here: what is written for them is parsed, and held against the lake."""

import datetime
import itertools
import pathlib
import unittest

import sqlglot
from sqlglot import exp

import cookbook
import lake
import reference

TYPES = {
    "trino": {
        "string": "VARCHAR",
        "date": "DATE",
        "int64": "BIGINT",
        "timestamp(us, UTC)": "TIMESTAMP(6)",
        "list<string>": "ARRAY(VARCHAR)",
        "map<string, string>": "MAP(VARCHAR, VARCHAR)",
        "list<struct<property: string, entity_type: string, entity_id: string, "
        "old_values: list<string>, new_values: list<string>>>":
            "ARRAY(ROW(property VARCHAR, entity_type VARCHAR, entity_id VARCHAR, "
            "old_values ARRAY(VARCHAR), new_values ARRAY(VARCHAR)))",
        "list<struct<event_date: date, records: int64>>": "ARRAY(ROW(event_date DATE, records BIGINT))",
        "list<struct<within_s: int64, records: int64>>": "ARRAY(ROW(within_s BIGINT, records BIGINT))",
    },
    "athena": {
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
    },
}

#: Of each table, the columns in the path.
PARTITIONS = {"audit_events": lake.BY_DEFAULT, "audit_runs": ["run_date"]}


def parsed(text, dialect):
    """What sqlglot understands; a `Command` is what it only passes on."""
    return [tree for tree in sqlglot.parse(text, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE) if tree]


class Parsed(unittest.TestCase):
    maxDiff = 2_000

    def created(self, engine, text):
        [create] = [tree for tree in parsed(text, engine) if isinstance(tree, exp.Create)]
        found = {column.name: column.kind for column in create.find_all(exp.ColumnDef) if not inside_a_type(column)}
        properties = {
            (one.this.name if isinstance(one.this, exp.Expression) else one.this): literal(one.args["value"])
            for one in create.args["properties"].expressions if type(one) is exp.Property
        }
        return create, found, properties

    def assert_types(self, engine, table, found, but=()):
        expected = {
            name: exp.DataType.build(TYPES[engine][kind], dialect="hive" if engine == "athena" else engine)
            for name, kind in lake.columns(table).items()
        }
        self.assertEqual(found.keys(), expected.keys())
        for name, kind in expected.items():
            if name not in but:
                self.assertEqual(found[name].sql(engine), kind.sql(engine), name)

    def test_trino_creates_the_tables(self):
        for table, partitions in PARTITIONS.items():
            text = lake.ddl("trino", "s3://bucket/prefix", table)
            create, found, properties = self.created("trino", text)
            self.assertEqual(create.this.this.sql("trino"), f"hive.default.{table}")
            self.assert_types("trino", table, found)
            self.assertEqual(properties["external_location"], f"s3://bucket/prefix/{table}")
            partitioned = create.find(exp.PartitionedByProperty)
            self.assertEqual([one.name for one in partitioned.find_all(exp.Literal, exp.Identifier)], partitions)
            # the connector wants them last, in that order
            self.assertEqual(list(found)[-len(partitions):], partitions)
            others = [one.sql("trino", comments=False) for one in parsed(text, "trino") if not isinstance(one, exp.Create)]
            self.assertEqual(others, [
                "SET SESSION hive.timestamp_precision = 'MICROSECONDS'",
                f"CALL hive.system.sync_partition_metadata('default', '{table}', 'ADD')",
            ])

    def test_athena_creates_the_tables(self):
        for table, partitions in PARTITIONS.items():
            create, found, _ = self.created("athena", lake.ddl("athena", "s3://bucket/prefix", table))
            self.assertEqual(create.this.this.name, table)
            # a projected date is a string
            self.assert_types("athena", table, found, but=partitions[-1:])
            self.assertEqual(found[partitions[-1]].sql("hive"), "STRING")
            [location] = create.find_all(exp.LocationProperty)
            self.assertEqual(location.this.name, f"s3://bucket/prefix/{table}/")

    def test_athena_finds_every_day_of_runs_by_projection(self):
        _, _, properties = self.created("athena", lake.ddl("athena", "s3://bucket/prefix", "audit_runs"))
        self.assertEqual(properties["projection.enabled"], "true")
        self.assertEqual(properties["projection.run_date.type"], "date")
        self.assertEqual(properties["projection.run_date.format"], "yyyy-MM-dd")
        since, until = properties["projection.run_date.range"].split(",")
        self.assertEqual(until, "NOW+1DAYS")
        dates = {row["run_date"] for row in reference.runs(lake.LOCAL)}
        self.assertTrue(dates)
        for date in dates:
            self.assertLess(since, date)
            folder = properties["storage.location.template"].replace("${run_date}", date).removeprefix("s3://bucket/prefix")
            self.assertTrue(list(pathlib.Path(lake.LOCAL + folder).glob("*.parquet")), folder)

    def test_athena_finds_every_file_by_projection(self):
        _, _, properties = self.created("athena", lake.ddl("athena", "s3://bucket/prefix"))
        self.assertEqual(properties["projection.enabled"], "true")
        self.assertEqual(properties["projection.provider.type"], "enum")
        providers = properties["projection.provider.values"].split(",")
        self.assertEqual(properties["projection.event_date.type"], "date")
        self.assertEqual(properties["projection.event_date.format"], "yyyy-MM-dd")
        since, until = properties["projection.event_date.range"].split(",")
        self.assertEqual(until, "NOW+1DAYS")
        first = datetime.date.fromisoformat(since)
        days = [(first + datetime.timedelta(days)).isoformat() for days in range(365 * 10)]
        template = properties["storage.location.template"]
        projected = {
            template.replace("${provider}", provider).replace("${event_date}", day)
            for provider, day in itertools.product(providers, days)
        }
        files = reference.files(lake.LOCAL)
        self.assertTrue(files)
        for path in files:
            key = f"s3://bucket/prefix/{path.relative_to(lake.LOCAL).parent.as_posix()}/"
            self.assertIn(key, projected)

    def test_the_lines_of_the_page_parse(self):
        for heading, dialect in [("Trino", "trino"), ("Athena", "athena")]:
            section = lake.blocks("query.md", heading)
            self.assertEqual({block.language for block in section}, {"sh", "sql"})
            for block in section:
                text = block.at(lake.S3)
                if block.language == "sh":
                    text = lake.printed(text)
                for tree in parsed(text, dialect):
                    statement = tree.sql(dialect, comments=False)
                    with self.subTest(block=block, statement=statement):
                        # sqlglot knows no CALL
                        self.assertTrue(not isinstance(tree, exp.Command) or statement.startswith("CALL "))
                        known = set(lake.columns())
                        if isinstance(tree, exp.Select) and not tree.find(exp.Unnest):
                            self.assertLessEqual({column.name for column in tree.find_all(exp.Column)}, known)

    def test_the_cookbook_parses(self):
        for (_, block, query), dialect in itertools.product(cookbook.recipes(), ["trino", "athena"]):
            with self.subTest(block=block, dialect=dialect):
                [tree] = parsed(query, dialect)
                self.assertIsInstance(tree, exp.Select)


def inside_a_type(column):
    return column.find_ancestor(exp.DataType) is not None


def literal(value):
    return value.name if isinstance(value, exp.Literal) else value.sql()


if __name__ == "__main__":
    unittest.main()
