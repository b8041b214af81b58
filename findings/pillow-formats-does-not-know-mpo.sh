#!/usr/bin/env bash
# Pillow calls the pictures of many telephones and 3D cameras "MPO" (`Image.format`), but as an entry of `formats` of
# `Image.open`, which takes those names, "MPO" is a KeyError, and that also for every file of a format that comes behind it
# in the list. "JPEG" opens them. Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0
"$work/venv/bin/python" - <<'PYTHON'
import io
import sys

import PIL
from PIL import Image


def file(kind, **options):
    saved = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(saved, kind, **options)
    return saved.getvalue()


def tried(data, formats):
    try:
        return Image.open(io.BytesIO(data), formats=formats).format
    except Exception as error:
        return f"{type(error).__name__}: {error}"


print("Pillow", PIL.__version__)
mpo = file("MPO", save_all=True, append_images=[Image.new("RGB", (16, 16), "blue")])
found = {
    "MPO, any format": tried(mpo, None),
    "MPO, formats=['JPEG']": tried(mpo, ["JPEG"]),
    "MPO, formats=['MPO']": tried(mpo, ["MPO"]),
    "PNG, formats=['MPO', 'PNG']": tried(file("PNG"), ["MPO", "PNG"]),
}
for name, said in found.items():
    print(f"{name}: {said}")
sys.exit(list(found.values()) != ["MPO", "MPO", "KeyError: 'MPO'", "KeyError: 'MPO'"])
PYTHON
