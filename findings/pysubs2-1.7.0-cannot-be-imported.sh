#!/usr/bin/env bash
# The wheel of pysubs2 1.7.0 lacks the folder pysubs2/formats, which its first line of code imports: who has "pysubs2>=1.7" and
# tests with the lowest versions gets a package that cannot be imported. 1.7.1 is whole.
# Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
for version in 1.7.1 1.7.0; do
  "$work/venv/bin/pip" install --quiet --only-binary :all: "pysubs2==$version"
  "$work/venv/bin/python" -c 'import pysubs2' 2>"$work/$version" && echo "pysubs2 $version: imported" || echo "pysubs2 $version: $(tail -1 "$work/$version")"
done
[ ! -s "$work/1.7.1" ] && grep -q "No module named 'pysubs2.formats'" "$work/1.7.0"
