#!/usr/bin/env bash
# textgrid reads the short form of a TextGrid, as Praat writes it, unless it has a point tier: any point ends in an
# AttributeError. In the long form the same points are read. tgt, praatio and pympi read both forms.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet textgrid==1.6.1 tgt==1.5 praatio==6.2.2 pympi-ling==1.71 praat-parselmouth==0.4.7
"$work/venv/bin/python" - "$work/peaks.TextGrid" <<'PYTHON'
import sys

import parselmouth
import pympi
import textgrid
import tgt
from parselmouth.praat import call
from praatio import textgrid as praatio_textgrid

path = sys.argv[1]
readers = {
    "textgrid": lambda: textgrid.TextGrid.fromFile(path)[0][0].mark,
    "tgt": lambda: tgt.io.read_textgrid(path).tiers[0].points[0].text,
    "praatio": lambda: praatio_textgrid.openTextgrid(path, includeEmptyIntervals=True).tiers[0].entries[0].label,
    "pympi": lambda: next(iter(pympi.Praat.TextGrid(path).tiers[0].get_all_intervals()))[1],
}
print("textgrid 1.6.1, on files of Praat", parselmouth.PRAAT_VERSION)
said = {}
for form in ("text file", "short text file"):
    for kind, point_tiers in (("points", "P1"), ("intervals", "")):
        grid = call("Create TextGrid", 0, 2, "P1", point_tiers)
        if kind == "points":
            call(grid, "Insert point", 1, 0.5, "happy")
        else:
            call(grid, "Set interval text", 1, 1, "happy")
        call(grid, f"Save as {form}", path)
        for name, read in readers.items() if kind == "points" else [("textgrid", readers["textgrid"])]:
            try:
                said[form, kind, name] = read()
            except Exception as error:
                said[form, kind, name] = type(error).__name__
            print(f"{form}, {kind}, {name}: {said[form, kind, name]}")
failed = {key: found for key, found in said.items() if found != "happy"}
sys.exit(failed != {("short text file", "points", "textgrid"): "AttributeError"})
PYTHON
