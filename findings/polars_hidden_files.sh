#!/usr/bin/env bash
# Polars refuses a folder of Parquet parts in which a hidden file, or one whose name begins with "_", has another ending.
# Arrow (pyarrow, pandas) passes over such names, as Hadoop and Spark do, which write them: `.part-0.parquet.crc`.
# An empty file of another ending Polars passes over. Exits with 1 if any of this changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet polars==2.1.0 pyarrow==26.0.1
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from pathlib import Path

import polars
import pyarrow
import pyarrow.parquet

print("polars", polars.__version__, "pyarrow", pyarrow.__version__)
changed = False
for name, content, refused in [
    (".part-0.parquet.crc", "crc", True),
    ("_metadata.json", "{}", True),
    (".hidden/state.json", "{}", True),
    ("_SUCCESS", "", False),
]:
    folder = Path(sys.argv[1], "out" + name.replace("/", "_"))
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), folder / "part-0.parquet")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    arrow = pyarrow.parquet.read_table(folder).num_rows
    try:
        said = f"{len(polars.read_parquet(folder))} row"
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
    print(f"beside part-0.parquet: {name} ({len(content)} bytes): pyarrow {arrow} row; polars {said}")
    changed |= arrow != 1 or refused is (said == "1 row")
sys.exit(changed)
PYTHON
