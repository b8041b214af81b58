#!/usr/bin/env bash
# pympi reads an ELAN file whose annotations name their entry in a controlled vocabulary (CVE_REF) and writes it without
# those names: entries and values are kept, the link between them is gone. It also puts the address of the schema of EAF
# 2.8 into a file that still calls itself 3.0.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pympi-ling==1.71
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from pathlib import Path
from xml.etree import ElementTree

import pympi

before, after = Path(sys.argv[1]) / "before.eaf", Path(sys.argv[1]) / "after.eaf"
before.write_text("""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T10:00:00+00:00" FORMAT="3.0" VERSION="3.0"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
 <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
 <TIME_ORDER>
  <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2000"/>
 </TIME_ORDER>
 <TIER LINGUISTIC_TYPE_REF="expression" TIER_ID="P1"><ANNOTATION>
  <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" CVE_REF="cve1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
   <ANNOTATION_VALUE>happy</ANNOTATION_VALUE>
  </ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
 <LINGUISTIC_TYPE CONTROLLED_VOCABULARY_REF="seven" GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="expression"
  TIME_ALIGNABLE="true"/>
 <LANGUAGE LANG_DEF="http://cdb.iso.org/lg/CDB-00138502-001" LANG_ID="eng" LANG_LABEL="English (eng)"/>
 <CONTROLLED_VOCABULARY CV_ID="seven"><DESCRIPTION LANG_REF="eng"/>
  <CV_ENTRY_ML CVE_ID="cve1"><CVE_VALUE DESCRIPTION="" LANG_REF="eng">happy</CVE_VALUE></CV_ENTRY_ML>
 </CONTROLLED_VOCABULARY>
</ANNOTATION_DOCUMENT>
""")
pympi.Elan.Eaf(str(before)).to_file(str(after))


def facts(path):
    root = ElementTree.parse(path).getroot()
    (annotation,), (entry,) = root.iter("ALIGNABLE_ANNOTATION"), root.iter("CV_ENTRY_ML")
    schema = root.get("{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation")
    return {
        "value": annotation.findtext("ANNOTATION_VALUE"), "entry": entry.get("CVE_ID"),
        "names its entry": annotation.get("CVE_REF"), "format": root.get("FORMAT"), "schema": schema[-11:],
    }


print("pympi-ling 1.71")
for path in (before, after):
    print(path.name, facts(path))
lost = {key for key, value in facts(before).items() if facts(after)[key] != value}
sys.exit(lost != {"names its entry", "schema"})
PYTHON
