"""dlt: its REST source into Parquet files, nested values left as JSON. Prints how many records it landed.

dlt_run.py URL PAGES OUT
"""

import os
import sys

url, pages, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
from dlt.sources.rest_api import rest_api_source

source = rest_api_source({
    "client": {
        "base_url": url,
        "paginator": {"type": "cursor", "cursor_path": "cursor", "cursor_param": "cursor"},
    },
    "resources": [{
        "name": "audits",
        "write_disposition": "append",
        "endpoint": {
            "path": "audits",
            "params": {"from": 0, "to": pages},
            "data_selector": "entities",
        },
    }],
})
source.max_table_nesting = 0
pipeline = dlt.pipeline(
    pipeline_name="bench",
    destination=dlt.destinations.filesystem(bucket_url=out + "/lake"),
    dataset_name="audits",
    pipelines_dir=out + "/work",
)
pipeline.run(source, loader_file_format="parquet")
print(pipeline.last_trace.last_normalize_info.row_counts["audits"])
