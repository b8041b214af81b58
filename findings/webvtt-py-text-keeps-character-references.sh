#!/usr/bin/env bash
# webvtt-py 0.6.0: `text` of a cue, which is without tags, still has "&amp;" and "&lt;", that WebVTT's parser turns into
# "&" and "<" (https://www.w3.org/TR/webvtt1/#webvtt-cue-text-parsing-rules). A label read from it is another word than the
# one that was written.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet webvtt-py==0.6.0
"$work/venv/bin/python" - "$work/cue.vtt" <<'PYTHON'
import sys

import webvtt

with open(sys.argv[1], "w") as file:
    file.write("WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nfear &amp; <b>sad</b>\n")
text = webvtt.read(sys.argv[1])[0].text
print(f"webvtt-py {webvtt.__version__}: 'fear &amp; <b>sad</b>' is read as {text!r}")
sys.exit(text != "fear &amp; sad")
PYTHON
