#!/usr/bin/env bash
# webvtt-py 0.6.0: `start_in_seconds` and `end_in_seconds` of a cue are whole numbers. A cue from 1.75 to 2.25 seconds is
# said to last from 1 to 2, so a sum of durations or an agreement of two coders is wrong by up to a second a cue.
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
    file.write("WEBVTT\n\n00:00:01.750 --> 00:00:02.250\nhappy\n")
cue = webvtt.read(sys.argv[1])[0]
seconds = cue.start_in_seconds, cue.end_in_seconds
print(f"webvtt-py {webvtt.__version__}: {cue.start} to {cue.end} is said to be {seconds[0]} to {seconds[1]} s")
sys.exit(seconds != (1, 2))
PYTHON
