#!/usr/bin/env bash
# pysubs2 writes WebVTT with "&" and "<" as they are and reads "&amp;" and "&lt;" as they are. WebVTT asks for the escapes:
# a player takes "<happy>" for a tag and does not show it (webvtt-py here; Chromium 156, in which this was tried by hand, too), and a valid file's "&lt;" becomes these four
# characters on the screen after a change to SRT.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pysubs2==1.8.1 webvtt-py==0.6.0
"$work/venv/bin/python" - "$work/faces.vtt" <<'PYTHON'
import sys

import pysubs2
import webvtt

print("pysubs2 1.8.1, webvtt-py", webvtt.__version__)
text = "P1 & P2 <happy>"
subtitles = pysubs2.SSAFile()
subtitles.append(pysubs2.SSAEvent(start=0, end=1000, text=text))
subtitles.save(sys.argv[1])
written = open(sys.argv[1]).read().strip().splitlines()[-1]
shown = webvtt.read(sys.argv[1])[0].text
valid = "WEBVTT\n\n00:00.000 --> 00:01.000\nP1 &lt; P2 &amp; P3\n"
turned = pysubs2.SSAFile.from_string(valid, format_="vtt").to_string("srt").strip().splitlines()[-1]
print(f"written: {written!r}; read by webvtt-py: {shown!r}; a valid cue as SRT: {turned!r}")
sys.exit(not (written == text and shown == "P1 & P2 " and turned == "P1 &lt; P2 &amp; P3"))
PYTHON
