"""Files of schema version 1 beside those of version 2: the columns that came later are null in the old ones."""

import pathlib
import shutil
import unittest

import chdb
import datafusion
import duckdb
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import lake

#: What version 2 brought.
ADDED = ["actor", "actor_email", "category"]


def of_version_1(path):
    """Rewrites a file as version 1 had it, without the columns that came later."""
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.drop_columns(ADDED), path)


def newest(folder):
    """A file of version 2."""
    files = sorted((folder / "audit_events").rglob("*.parquet"))
    return next(path for path in files if "category" in pq.read_schema(path).names)


class Versions(unittest.TestCase):
    """Whichever version comes first, as engines take the schema of the first file that they see."""

    @classmethod
    def setUpClass(cls):
        cls.lakes = {}
        cls.rows = lake.FACTS["rows"][0][0]
        for name, is_old in [("old first", lambda n: n % 2 == 0), ("new first", lambda n: n % 2 == 1)]:
            folder = pathlib.Path(name.replace(" ", "-")).resolve()
            shutil.copytree(pathlib.Path(lake.LOCAL) / "audit_events", folder / "audit_events")
            files = sorted((folder / "audit_events").rglob("*.parquet"))
            new = 0
            for number, path in enumerate(files):
                if is_old(number):
                    of_version_1(path)
                else:
                    new += pq.read_metadata(path).num_rows
            assert 0 < new < cls.rows
            cls.lakes[folder] = new

    def check(self, ask):
        for folder, new in self.lakes.items():
            with self.subTest(folder.name):
                self.assertEqual([int(value) for value in ask(folder)], [self.rows, new])

    def test_duckdb(self):
        self.check(lambda folder: duckdb.sql(
            "SELECT count(*), count(category) FROM read_parquet("
            f"'{folder}/audit_events/**/*.parquet', hive_partitioning = true, union_by_name = true)"
        ).fetchone())

    def test_polars(self):
        # a schema that names all columns
        def ask(folder):
            events = pl.scan_parquet(
                f"{folder}/audit_events/**/*.parquet", hive_partitioning=True,
                schema=pl.read_parquet_schema(newest(folder)), missing_columns="insert",
            )
            return events.select(pl.len(), pl.col("category").count()).collect().row(0)
        self.check(ask)

    def test_clickhouse(self):
        self.check(lambda folder: str(chdb.query(
            f"SELECT count(), count(category) FROM file('{folder}/audit_events/**/*.parquet', Parquet, "
            "'category Nullable(String), event_id String')"
        )).strip().split(","))

    def test_pyarrow(self):
        def ask(folder):
            events = ds.dataset(str(folder / "audit_events"), partitioning="hive", schema=pq.read_schema(newest(folder)))
            categories = events.to_table(columns=["category"])["category"]
            return len(categories), len(categories) - categories.null_count
        self.check(ask)

    def test_datafusion(self):
        def ask(folder):
            context = datafusion.SessionContext()
            context.register_parquet("audit_events", f"{folder}/audit_events/")
            rows = context.sql("SELECT count(*) AS a, count(category) AS b FROM audit_events").to_pylist()
            return rows[0]["a"], rows[0]["b"]
        self.check(ask)


if __name__ == "__main__":
    unittest.main()
