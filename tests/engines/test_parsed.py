"""Trino and Athena, which can't be run here: what is written for them is parsed, and held against the lake."""

import datetime
import itertools
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
    },
}

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

    def assert_types(self, engine, found, but=()):
        expected = {
            name: exp.DataType.build(TYPES[engine][kind], dialect="hive" if engine == "athena" else engine)
            for name, kind in lake.columns().items()
        }
        self.assertEqual(found.keys(), expected.keys())
        for name, kind in expected.items():
            if name not in but:
                self.assertEqual(found[name].sql(engine), kind.sql(engine), name)

    def test_trino_creates_the_table(self):
        text = lake.ddl("trino", "s3://bucket/prefix")
        create, found, properties = self.created("trino", text)
        self.assertEqual(create.this.this.sql("trino"), "hive.default.audit_events")
        self.assert_types("trino", found)
        self.assertEqual(properties["external_location"], "s3://bucket/prefix/audit_events")
        partitioned = create.find(exp.PartitionedByProperty)
        self.assertEqual([one.name for one in partitioned.find_all(exp.Literal, exp.Identifier)], lake.BY_DEFAULT)
        # the connector wants them last, in that order
        self.assertEqual(list(found)[-2:], lake.BY_DEFAULT)
        others = [one.sql("trino", comments=False) for one in parsed(text, "trino") if not isinstance(one, exp.Create)]
        self.assertEqual(others, [
            "SET SESSION hive.timestamp_precision = 'MICROSECONDS'",
            "CALL hive.system.sync_partition_metadata('default', 'audit_events', 'ADD')",
        ])

    def test_athena_creates_the_table(self):
        create, found, _ = self.created("athena", lake.ddl("athena", "s3://bucket/prefix"))
        self.assertEqual(create.this.this.name, "audit_events")
        # a projected date is a string
        self.assert_types("athena", found, but=["event_date"])
        self.assertEqual(found["event_date"].sql("hive"), "STRING")
        [location] = create.find_all(exp.LocationProperty)
        self.assertEqual(location.this.name, "s3://bucket/prefix/audit_events/")

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
                    text = lake.auditlake(*text.split()[1:])
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
