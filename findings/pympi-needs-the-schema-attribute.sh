#!/usr/bin/env bash
# pympi-ling 1.71 cannot read an ELAN document without xsi:noNamespaceSchemaLocation. The attribute is a hint that XML Schema
# leaves to the writer (https://www.w3.org/TR/xmlschema-1/#xsi_schemaLocation); the document is valid without it.
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
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"{hint}>
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/><TIME_ORDER/>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true" GRAPHIC_REFERENCES="false"/>
</ANNOTATION_DOCUMENT>
"""
hint = (
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd"'
)
outcomes = []
for words in (hint, ""):
    with open(sys.argv[1], "w") as file:
        file.write(document.format(hint=words))
    try:
        pympi.Elan.Eaf(sys.argv[1])
        outcomes.append("read")
    except KeyError as error:
        outcomes.append(f"KeyError {error}")
print(f"pympi-ling {version('pympi-ling')}: with the attribute {outcomes[0]}, without {outcomes[1]}")
sys.exit(not (outcomes[0] == "read" and outcomes[1].startswith("KeyError")))
PYTHON
