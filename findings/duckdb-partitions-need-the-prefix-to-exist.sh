#!/usr/bin/env bash
# DuckDB's COPY with PARTITION_BY to a new prefix of an object store that s3fs gives it (`register_filesystem`) fails: it
# makes the directory, which a store does not have, and then lists it, which s3fs answers with FileNotFoundError. With
# OVERWRITE_OR_IGNORE it does not list, and writes; a COPY to one file, and a partitioned one to a local folder, never fail.
# Exits with 0 while it is so, with 1 once these versions behave otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "duckdb==2.0.1" "s3fs==2026.9.0" "fsspec==2026.9.0" "moto[server]==5.2.5"
cat > "$work/partitions.py" <<'PYTHON'
import os, sys

os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
import duckdb, fsspec, s3fs
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
store = fsspec.filesystem("s3", endpoint_url=f"http://{host}:{port}")
store.mkdir("bucket")
connection = duckdb.connect()
connection.register_filesystem(store)
rows = "(SELECT range % 3 AS k, range AS v FROM range(9))"


def copy(to, options):
    try:
        connection.execute(f"COPY {rows} TO '{to}' (FORMAT parquet{options})")
        return "written"
    except Exception as error:
        return "FileNotFoundError" if "FileNotFoundError" in str(error) else repr(error)


said = {
    "one file": copy("s3://bucket/one.parquet", ""),
    "partitions": copy("s3://bucket/new", ", PARTITION_BY (k)"),
    "partitions, OVERWRITE_OR_IGNORE": copy("s3://bucket/other", ", PARTITION_BY (k), OVERWRITE_OR_IGNORE"),
    "partitions in a local folder": copy(f"{sys.argv[1]}/new", ", PARTITION_BY (k)"),
}
server.stop()
print(f"duckdb {duckdb.__version__}, s3fs {s3fs.__version__}")
for what, came in said.items():
    print(f"{what}: {came}")
raise SystemExit([*said.values()] != ["written", "FileNotFoundError", "written", "written"])
PYTHON
"$work/venv/bin/python" -W ignore "$work/partitions.py" "$work" 2> >(grep -v "HTTP/1.1" >&2)
