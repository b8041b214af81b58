#!/usr/bin/env bash
# A grey TIFF says whether 0 is black or white (PhotometricInterpretation). Pillow and OpenCV turn 8 bits round where 0 is
# white, but leave 16 bits as they are: the same picture is a negative in 16 bits, without a word. Exits with 1 if that
# changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0 opencv-python-headless==4.14.0.94 numpy
"$work/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys

import cv2
import numpy
import PIL
from PIL import Image

WHITE_IS_ZERO = 0


def tiff(bits):
    """Two pixels: 0, which is white here, and the highest value, which is black."""
    data = struct.pack("<2B" if bits == 8 else "<2H", 0, 2**bits - 1)
    entries = {256: 2, 257: 1, 258: bits, 259: 1, 262: WHITE_IS_ZERO, 273: 0, 277: 1, 278: 1, 279: len(data)}
    entries[273] = 8 + 2 + 12 * len(entries) + 4  # where the pixels are
    listed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + listed + struct.pack("<I", 0) + data


print("Pillow", PIL.__version__, "OpenCV", cv2.__version__)
found = {}
for bits in (8, 16):
    data = tiff(bits)
    found[bits] = (
        numpy.asarray(Image.open(io.BytesIO(data)))[0].tolist(),
        cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_UNCHANGED)[0].tolist(),
    )
    print(f"{bits} bits, 0 is white, then black: Pillow {found[bits][0]}, OpenCV {found[bits][1]}")
right, negative = ([255, 0], [255, 0]), ([0, 65535], [0, 65535])
sys.exit((found[8], found[16]) != (right, negative))
PYTHON
