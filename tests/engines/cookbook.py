"""docs/cookbook.md: its queries, and what each answers on a lake with a hole, as DuckDB says."""

import datetime
import json
import os
import pathlib
import re

import duckdb

import lake


def recipes(marked=None):
    """Heading, block and query; those for every engine, or those that are marked for one."""
    return [
        (block.heading, block, query)
        for block in lake.blocks("cookbook.md")
        if block.marks == ([marked] if marked else [])
        for query in lake.statements(block.text)
    ]


def connected():
    db = duckdb.connect()
    for table in lake.TABLES:
        db.execute(lake.ddl("duckdb", lake.HOLED, table))
    return db


def comparable(rows):
    """Engines return instants, dates and numbers each in their own way."""
    return [[comparable_value(value) for value in row] for row in rows]


def comparable_value(value):
    if isinstance(value, datetime.datetime):
        # without a zone it is this process' own
        return value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", value):
        return datetime.datetime.fromisoformat(value).isoformat(" ", "microseconds")
    return lake.plain(value)


def main():
    db = connected()
    answers = [comparable(db.execute(query).fetchall()) for _, _, query in recipes()]
    pathlib.Path(os.environ["ENGINES_COOKBOOK"]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
