#!/usr/bin/env bash
# Where the home folder cannot be written (a container, a service, a sandbox), `import onnxruntime` 1.29.0 and 1.30.0 leave
# a file with the name ":memory:.ses" in the current folder: their reporting falls back to SQLite's name for a database
# in memory, and a file beside it. 1.31.1 does not.
# Exits with 0 while it is so, with 1 once a version behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
changed=0
for pinned in onnxruntime==1.29.0 onnxruntime==1.30.0 onnxruntime==1.31.1 onnxruntime==1.32.0; do
  version=${pinned#*==}
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet "$pinned" numpy==2.3.5
  here=$(mktemp -d "$work/here.XXXX")
  # An empty environment: where CI or its like is set, onnxruntime is silent. Nobody can make a folder in /dev/null.
  (cd "$here" && env -i HOME=/dev/null/none "$work/$version/bin/python" -c 'import onnxruntime') 2>"$work/words"
  found=$(ls -A "$here")
  echo "onnxruntime $version | files in the current folder: ${found:-none}"
  case $version in 1.29.0 | 1.30.0) expected=':memory:.ses' ;; *) expected='' ;; esac
  [ "$found" = "$expected" ] || changed=1
done
exit $changed
