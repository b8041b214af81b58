"""A dataset with two made-up groupings, to see what `mien audit-model` finds: `camera`, of which one is out of focus,
and `site`, which means nothing.

    python benchmarks/groups.py PUBLIC_TEST.parquet cameras.parquet
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def main() -> None:
    """Write the second file."""
    parser = argparse.ArgumentParser(description="Give pictures made-up groups.")
    parser.add_argument("data", type=Path, help="FER2013 as Parquet")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    rng, rows = np.random.default_rng(0), pq.read_table(args.data).to_pylist()
    for row in rows:
        row["camera"] = str(rng.choice(["north", "south", "east", "west"]))
        row["image"] = row["image"] if isinstance(row["image"], bytes) else row["image"]["bytes"]
        if row["camera"] == "west":
            row["image"] = out_of_focus(row["image"])
        row["site"] = str(rng.choice(list("abcdefgh")))
    pq.write_table(pa.Table.from_pylist(rows), args.out)


def out_of_focus(data: bytes) -> bytes:
    """An encoded grey picture, blurred, as PNG."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return bytes(cv2.imencode(".png", cv2.GaussianBlur(picture, (0, 0), 1.5))[1])


if __name__ == "__main__":
    main()
