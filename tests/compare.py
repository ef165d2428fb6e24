"""Compares a lake on S3 with the truth, in DuckDB: exits with 1 and says what differs.

usage: compare.py TRUTH.ndjson LAKE_URL ENDPOINT KEY SECRET
"""

import glob
import os
import sys
import sysconfig
from urllib.parse import urlsplit

import duckdb

truth, lake, endpoint, key, secret = sys.argv[1:]

packages = sysconfig.get_paths()["purelib"]
[httpfs] = glob.glob(os.path.join(packages, "duckdb_extension_httpfs/extensions/*/httpfs.duckdb_extension"))

db = duckdb.connect(config={"allow_unsigned_extensions": "false"})
db.execute(f"LOAD '{httpfs}'")
db.execute("SET TimeZone = 'America/St_Johns'")  # UTC must be in the data, not in the session
db.execute(
    f"""CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', ENDPOINT '{urlsplit(endpoint).netloc}',
                       USE_SSL false, URL_STYLE 'path', REGION 'us-east-1')"""
)
db.execute(
    f"""CREATE TABLE lake AS
        SELECT * FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true, union_by_name = false)"""
)
db.execute(
    f"""CREATE TABLE truth AS
        SELECT id AS event_id, event_time::TIMESTAMPTZ AS event_time, service, raw
        FROM read_json('{truth}', format = 'newline_delimited', maximum_object_size = 100000000,
                       columns = {{id: 'VARCHAR', event_time: 'VARCHAR', service: 'VARCHAR', raw: 'VARCHAR'}})"""
)

row = "event_id, event_time, raw"
type_of = dict((name, kind) for name, kind, *_ in db.execute("DESCRIBE lake").fetchall())


def count(sql):
    return db.execute(f"SELECT count(*) FROM ({sql})").fetchone()[0]


rows = count("FROM lake")
problems = {
    "rows more or less than in the truth": abs(rows - count("FROM truth")),
    "rows missing": count(f"SELECT {row} FROM truth EXCEPT ALL SELECT {row} FROM lake"),
    "rows too many or altered": count(f"SELECT {row} FROM lake EXCEPT ALL SELECT {row} FROM truth"),
    "ids without a record": count("FROM lake ANTI JOIN truth USING (event_id)"),
    "records without an id": count("FROM truth ANTI JOIN lake USING (event_id)"),
    # a record may show another service than the one that it is filed under
    "rows of another service": count(
        "FROM lake WHERE service IS DISTINCT FROM json_extract_string(raw, '$.serviceName')"
    ),
    "ids that occur twice": count("SELECT event_id FROM lake GROUP BY ALL HAVING count(*) > 1"),
    "raw with other bytes": count(
        "FROM lake JOIN truth USING (event_id) WHERE encode(lake.raw) IS DISTINCT FROM encode(truth.raw)"
    ),
    "rows in another day's folder": count(
        "FROM lake WHERE event_date::VARCHAR <> strftime(event_time AT TIME ZONE 'UTC', '%Y-%m-%d')"
    ),
    "rows of another provider": count("FROM lake WHERE provider IS DISTINCT FROM 'genesys_cloud'"),
    "rows whose lateness isn't what it says": count(
        "FROM lake WHERE late_by_ms IS NOT NULL "
        "AND late_by_ms <> date_diff('ms', event_time, ingested_at) "
        "AND abs(late_by_ms - epoch_ms(ingested_at) + epoch_ms(event_time)) > 1"
    ),
    "columns of event_time that are no UTC time": int(type_of["event_time"] != "TIMESTAMP WITH TIME ZONE"),
}
wrong = {what: number for what, number in problems.items() if number}
if wrong or not rows:
    sys.exit(f"{rows} rows differ from the truth: {wrong}")
print(f"equal: {rows} rows")
