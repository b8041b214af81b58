#!/usr/bin/env bash
# Pillow ignores the transparent colour (tRNS) of PNGs whose channels have 2, 4 or 16 bits: it compares the colour, which
# has the file's depth, with pixels that it has already brought to 8 bits, so nothing becomes transparent. With 1 and 8
# bits, the same pixel of the same picture is. The PNG specification (11.3.2.1) gives tRNS the depth of the picture.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0
"$work/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys
import zlib

import PIL
from PIL import Image


def png(depth, colour, transparent, row):
    """Two pixels, of which the second has the transparent colour."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


pictures = {
    "grey, 1 bit": png(1, 0, b"\0\1", bytes([0b01000000])),
    "grey, 2 bits": png(2, 0, b"\0\1", bytes([0b00010000])),
    "grey, 4 bits": png(4, 0, b"\0\5", bytes([0x05])),
    "grey, 8 bits": png(8, 0, b"\0\5", bytes([0, 5])),
    "grey, 16 bits": png(16, 0, b"\x12\x34", struct.pack(">2H", 0, 0x1234)),
    "RGB, 8 bits": png(8, 2, bytes([0, 1, 0, 2, 0, 3]), bytes([0, 0, 0, 1, 2, 3])),
    "RGB, 16 bits": png(16, 2, struct.pack(">3H", 1000, 2000, 3000), struct.pack(">6H", 0, 0, 0, 1000, 2000, 3000)),
}
print("Pillow", PIL.__version__)
ignored = []
for name, data in pictures.items():
    alpha = Image.open(io.BytesIO(data)).convert("RGBA").getchannel("A").tobytes()
    print(f"{name}: alpha of the opaque and of the transparent pixel: {alpha[0]}, {alpha[1]}")
    if alpha[1] == 255:
        ignored.append(name)
sys.exit(ignored != ["grey, 2 bits", "grey, 4 bits", "grey, 16 bits", "RGB, 16 bits"])
PYTHON
