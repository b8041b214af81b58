#!/usr/bin/env bash
# One Hive-partitioned folder, three readings of its partition's values, without options: "007" is the number 7 to pyarrow
# and Polars and the text "007" to DuckDB; "2020-01-01" is text to pyarrow and a date to Polars and DuckDB.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.1
"$work/venv/bin/python" - "$work" <<'PYTHON'
import datetime
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

print("polars", polars.__version__, "pyarrow", pyarrow.__version__, "duckdb", duckdb.__version__)
day = datetime.date(2020, 1, 1)
changed = False
for value, expected in {"007": (7, 7, "007"), "2020-01-01": ("2020-01-01", day, day)}.items():
    out = Path(sys.argv[1], value)
    (out / f"folder={value}").mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), out / f"folder={value}" / "part-0.parquet")
    said = (
        pyarrow.dataset.dataset(out, partitioning="hive").to_table()["folder"].to_pylist()[0],
        polars.read_parquet(out)["folder"][0],
        duckdb.sql(f"SELECT folder FROM read_parquet('{out}/**/*.parquet')").fetchall()[0][0],
    )
    print(f"folder={value}: pyarrow {said[0]!r}, polars {said[1]!r}, duckdb {said[2]!r}")
    changed |= said != expected
sys.exit(changed)
PYTHON
