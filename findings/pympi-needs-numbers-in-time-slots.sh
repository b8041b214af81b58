#!/usr/bin/env bash
# pympi-ling 1.71 cannot read an ELAN document whose time slots have names without digits. EAF's schema has them as xsd:ID,
# any name (http://www.mpi.nl/tools/elan/EAFv3.0.xsd); "ts1" is ELAN's own habit.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pympi-ling==1.71
"$work/venv/bin/python" - "$work/clip.eaf" <<'PYTHON'
import sys
from importlib.metadata import version

import pympi

document = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="{0}" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="{1}" TIME_VALUE="900"/></TIME_ORDER>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true" GRAPHIC_REFERENCES="false"/>
</ANNOTATION_DOCUMENT>
"""
outcomes = []
for names in (("ts1", "ts2"), ("onset", "offset")):
    with open(sys.argv[1], "w") as file:
        file.write(document.format(*names))
    try:
        pympi.Elan.Eaf(sys.argv[1])
        outcomes.append("read")
    except ValueError as error:
        outcomes.append(f"ValueError {error}")
print(f"pympi-ling {version('pympi-ling')}: 'ts1' {outcomes[0]}, 'onset' {outcomes[1]}")
sys.exit(not (outcomes[0] == "read" and outcomes[1].startswith("ValueError")))
PYTHON
