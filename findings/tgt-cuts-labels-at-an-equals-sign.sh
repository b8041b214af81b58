#!/usr/bin/env bash
# tgt reads a label of a Praat TextGrid (the long form, Praat's default) that holds " = " as what stands before the sign,
# less its last character: "happy = 0.92" becomes "happ", "a = b" nothing, without a word. Praat itself, which writes the
# file here, textgrid and praatio read the whole label.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tgt==1.5 textgrid==1.6.1 praatio==6.2.2 praat-parselmouth==0.4.7
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys

import parselmouth
import textgrid
import tgt
from parselmouth.praat import call
from praatio import textgrid as praatio_textgrid

print("tgt 1.5, Praat", parselmouth.PRAAT_VERSION)
path = f"{sys.argv[1]}/faces.TextGrid"
labels = ("happy = 0.92", "a = b")
grid = call("Create TextGrid", 0, 2, "P1", "")
call(grid, "Insert boundary", 1, 1)
for number, label in enumerate(labels, 1):
    call(grid, "Set interval text", 1, number, label)
call(grid, "Save as text file", path)
again = parselmouth.read(path)
read = {
    "Praat": tuple(call(again, "Get label of interval", 1, number) for number in (1, 2)),
    "textgrid": tuple(interval.mark for interval in textgrid.TextGrid.fromFile(path)[0]),
    "praatio": tuple(e.label for e in praatio_textgrid.openTextgrid(path, includeEmptyIntervals=True).tiers[0].entries),
    "tgt": tuple(i.text for i in tgt.io.read_textgrid(path, include_empty_intervals=True).tiers[0].intervals),
}
for name, found in read.items():
    print(f"{name}: {found}")
cut = read.pop("tgt")
sys.exit(not (all(found == labels for found in read.values()) and cut == ("happ", "")))
PYTHON
