#!/usr/bin/env bash
# Polars reads a folder with an empty (0 byte) Parquet part, as an interrupted copy leaves behind, without a word: the
# part's rows are missing. The same file named alone, or read by pyarrow or DuckDB, is an error.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.1
"$work/venv/bin/python" - "$work/out" <<'PYTHON'
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.parquet

print("polars", polars.__version__, "pyarrow", pyarrow.__version__, "duckdb", duckdb.__version__)
out = Path(sys.argv[1])
out.mkdir()
pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), out / "part-0.parquet")
(out / "part-1.parquet").touch()
said = {}
for name, read in {
    "polars, the folder": lambda: len(polars.read_parquet(out)),
    "polars, a pattern": lambda: len(polars.read_parquet(f"{out}/*.parquet")),
    "polars, the file": lambda: len(polars.read_parquet(out / "part-1.parquet")),
    "pyarrow": lambda: pyarrow.parquet.read_table(out).num_rows,
    "duckdb": lambda: len(duckdb.sql(f"FROM read_parquet('{out}/*.parquet')").fetchall()),
}.items():
    try:
        said[name] = f"{read()} row"
    except Exception as error:
        said[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:70]}"
    print(f"{name}: {said[name]}")
others = [said[name] for name in ("polars, the file", "pyarrow", "duckdb")]
sys.exit(not (said["polars, the folder"] == "1 row" and all("rror" in one or "nvalid" in one for one in others)))
PYTHON
