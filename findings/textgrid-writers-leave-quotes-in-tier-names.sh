#!/usr/bin/env bash
# textgrid and pympi double the quotation marks in a TextGrid's labels, as Praat asks, but not those in a tier's name, so
# Praat refuses the file of a tier that is named after a person with a nickname. tgt and praatio double them.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet textgrid==1.6.1 pympi-ling==1.71 tgt==1.5 praatio==6.2.2 praat-parselmouth==0.4.7
"$work/venv/bin/python" - "$work/faces.TextGrid" <<'PYTHON'
import sys

import parselmouth
import pympi
import textgrid
import tgt
from parselmouth.praat import call
from praatio import textgrid as praatio_textgrid

path, name, label = sys.argv[1], 'Kim "Kit" Roe', 'says "hi"'


def by_textgrid(name):
    grid, tier = textgrid.TextGrid("faces", 0, 2), textgrid.IntervalTier(name, 0, 2)
    tier.add(0, 1, label)
    grid.append(tier)
    grid.write(path)


def by_pympi(name):
    grid = pympi.Praat.TextGrid(xmax=2)
    grid.add_tier(name).add_interval(0, 1, label)
    grid.to_file(path)


def by_tgt(name):
    grid, tier = tgt.core.TextGrid(), tgt.core.IntervalTier(0, 2, name)
    tier.add_interval(tgt.core.Interval(0, 1, label))
    grid.add_tier(tier)
    tgt.io.write_to_file(grid, path, format="long", encoding="utf-8")


def by_praatio(name):
    grid = praatio_textgrid.Textgrid(0, 2)
    grid.addTier(praatio_textgrid.IntervalTier(name, [(0, 1, label)], 0, 2))
    grid.save(path, "long_textgrid", True)


print("Praat", parselmouth.PRAAT_VERSION, "on files of textgrid 1.6.1, pympi-ling 1.71, tgt 1.5, praatio 6.2.2")
said = {}
for write in (by_textgrid, by_pympi, by_tgt, by_praatio):
    for tier in ("Kim Roe", name):
        write(tier)
        try:
            grid = parselmouth.read(path)
            assert call(grid, "Get label of interval", 1, 1) == label
            said[write.__name__, tier] = call(grid, "Get tier name", 1) == tier
        except parselmouth.PraatError as error:
            said[write.__name__, tier] = str(error).splitlines()[0]
        print(f"{write.__name__}, {tier}: {said[write.__name__, tier]}")
refused = [key for key, found in said.items() if found is not True]
sys.exit(refused != [("by_textgrid", name), ("by_pympi", name)])
PYTHON
