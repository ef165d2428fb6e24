"""DuckDB on one thread: records from JSON lines on disk into zstd Parquet by day, typed columns, without `raw`. Prints
how many it landed.

duckdb_run.py LINES OUT
"""

import sys

import duckdb

lines, out = sys.argv[1], sys.argv[2]
NAMED = "STRUCT(id VARCHAR, name VARCHAR, selfUri VARCHAR)"
CHANGE = "STRUCT(property VARCHAR, oldValues VARCHAR[], newValues VARCHAR[])"
RECORD = f"""STRUCT(id VARCHAR, userHomeOrgId VARCHAR, "user" {NAMED}, client STRUCT(id VARCHAR), remoteIp VARCHAR[],
    serviceName VARCHAR, level VARCHAR, status VARCHAR, application VARCHAR, eventDate VARCHAR,
    message STRUCT(localizableMessageCode VARCHAR, message VARCHAR), action VARCHAR, entityType VARCHAR,
    entity {NAMED}, propertyChanges {CHANGE}[], context MAP(VARCHAR, VARCHAR))"""

db = duckdb.connect()
db.execute("SET threads = 1; SET preserve_insertion_order = false")
db.execute(f"""
    COPY (
        SELECT r.id, r.userHomeOrgId, r.user.id AS user_id, r.user.name AS user_name, r.user.selfUri AS user_uri,
            r.client.id AS client_id, r.remoteIp, r.serviceName, r.level, r.status, r.application,
            r.eventDate::TIMESTAMP_MS AS event_time, r.message.localizableMessageCode AS message_code,
            r.message.message AS message, r.action, r.entityType, r.entity.id AS entity_id,
            r.entity.name AS entity_name, r.entity.selfUri AS entity_uri, r.propertyChanges, r.context,
            substr(r.eventDate, 1, 10) AS event_date
        FROM (SELECT json AS r FROM read_json('{lines}', format = 'newline_delimited', records = false,
            columns = {{'json': '{RECORD}'}}))
    ) TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (event_date), OVERWRITE_OR_IGNORE)
""")
print(db.execute(f"SELECT count(*) FROM read_parquet('{out}/*/*.parquet')").fetchone()[0])
