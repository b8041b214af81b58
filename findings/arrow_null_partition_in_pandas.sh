#!/usr/bin/env bash
# pandas.read_parquet (and pyarrow.parquet.read_table) cannot read a Hive-partitioned folder that has a partition for null
# beside others: "Cannot yet unify dictionaries with nulls". pyarrow.dataset reads the same folder, and so do Polars and
# DuckDB. The folder is what pyarrow itself writes of a column with a null. Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pandas==3.1.1 pyarrow==26.0.1
"$work/venv/bin/python" - "$work/out" <<'PYTHON'
import sys

import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

print("pandas", pandas.__version__, "pyarrow", pyarrow.__version__)
out = sys.argv[1]
table = pyarrow.table({"a": [1, 2], "folder": ["x", None]})
pyarrow.parquet.write_to_dataset(table, out, partition_cols=["folder"])
rows = pyarrow.dataset.dataset(out, partitioning="hive").to_table().num_rows
print("pyarrow.dataset:", rows, "rows")
try:
    said = f"{len(pandas.read_parquet(out))} rows"
except Exception as error:
    said = f"{type(error).__name__}: {error}"
print("pandas.read_parquet:", said)
sys.exit(not (rows == 2 and "Cannot yet unify dictionaries with nulls" in said))
PYTHON
