#!/usr/bin/env bash
# Pillow reads a TIFF of 16 bits a channel whose colours lie in separate planes (PlanarConfiguration 2) with wrong colours,
# and without a word. The same pixels interleaved are read right, and so are separate planes of eight bits. tifffile reads
# all of them right.
# Exits with 0 while it is so, with 1 once a version behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2025.10.16 numpy==2.3.5
"$work/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__, "tifffile", tifffile.__version__)
across, down = np.linspace(0, 65535, 60), np.linspace(0, 65535, 40)
colors = np.stack(np.broadcast_arrays(across[None], down[:, None], 20_000.0), axis=2).astype(np.uint16)
wrong = {}
for bits, pixels in ((16, colors), (8, (colors >> 8).astype(np.uint8))):
    for planar in ("contig", "separate"):
        stream = io.BytesIO()
        given = pixels if planar == "contig" else pixels.transpose(2, 0, 1)
        tifffile.imwrite(stream, given, photometric="rgb", planarconfig=planar)
        whole = tifffile.imread(io.BytesIO(stream.getvalue()))
        assert np.array_equal(whole if planar == "contig" else whole.transpose(1, 2, 0), pixels)
        with Image.open(stream) as picture:
            got = np.asarray(picture.convert("RGB")).astype(int)
        wrong[bits, planar] = float(np.abs(got - (colors >> 8)).mean())
        print(f"{bits} bits, {planar}: off by {wrong[bits, planar]:.1f} of 255 on average")
bad = wrong.pop((16, "separate"))
sys.exit(not (bad > 20 and max(wrong.values()) < 1))
PYTHON
