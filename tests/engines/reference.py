"""What is in a lake, found in plain Python: file by file, row by row, by no engine's query."""

import collections
import datetime
import json
import pathlib
from urllib.parse import unquote

import pyarrow.parquet as pq

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def files(lake):
    return sorted(pathlib.Path(lake, "audit_events").rglob("*.parquet"))


def partition(path):
    """What stands in a file's path."""
    named = (part.split("=", 1) for part in path.parts if "=" in part)
    return {name: unquote(value) for name, value in named}


def rows(lake):
    for path in files(lake):
        for row in pq.ParquetFile(path).read().to_pylist():
            yield {**row, **partition(path)}


def runs(lake):
    for path in sorted(pathlib.Path(lake, "audit_runs").rglob("*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            yield {**row, **partition(path)}


def micros(instant):
    if instant.tzinfo is None:  # that it has a zone is asked of the engines
        instant = instant.replace(tzinfo=datetime.UTC)
    return (instant - EPOCH) // datetime.timedelta(microseconds=1)


def facts(lake):
    """Each fact is a sorted list of rows, of strings and whole numbers.

    What runs landed is told by the events, not by `audit_runs`.
    """
    table = list(rows(lake))
    late = collections.Counter(row["job"] for row in table if row["late_by_ms"] is not None)
    return {
        "rows": [[len(table)]],
        "partitions": counted((row["provider"], row["event_date"]) for row in table),
        # of the UTC day, so that a time that is shifted shows
        "hours": counted(row["event_time"].hour for row in table),
        "times": [[micros(min(row["event_time"] for row in table)), micros(max(row["event_time"] for row in table))]],
        # the folder is that of the time
        "misplaced": [[sum(row["event_time"].date().isoformat() != row["event_date"] for row in table)]],
        "nulls": [[sum(row["actor_login"] is None for row in table), sum(row["late_by_ms"] is None for row in table)]],
        "late": counted(row["provider"] for row in table if (row["late_by_ms"] or 0) > 1000),
        "ips": counted(ip for row in table for ip in row["client_ips"]),
        "changes": counted(
            (change["property"] or "", len(change["old_values"]), len(change["new_values"]))
            for row in table for change in row["changes"]
        ),
        "new_values": counted(value for row in table for change in row["changes"] for value in change["new_values"]),
        "attributes": counted(key for row in table for key, _ in row["attributes"]),
        "levels": counted(dict(row["attributes"]).get("level", "") for row in table),
        # characters, not bytes: what is not ASCII shows
        "raw": [[sum(len(row["raw"]) for row in table)]],
        "raw_levels": counted(str(json.loads(row["raw"]).get("level") or "") for row in table),
        "landed": sorted([job, number, late[job]] for job, number in counted(row["job"] for row in table)),
        "landed_by_day": counted((row["job"], row["event_date"]) for row in table),
        "outcomes": counted((row["run_date"], row["job"], row["outcome"]) for row in runs(lake)),
    }


def counted(values):
    found = collections.Counter(value if isinstance(value, tuple) else (value,) for value in values)
    return sorted([*value, number] for value, number in found.items())
