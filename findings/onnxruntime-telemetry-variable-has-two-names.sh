#!/usr/bin/env bash
# The pull requests that brought reporting to onnxruntime on Linux name its switch ORT_TELEMETRY_DISABLED (29843, "a full
# telemetry opt-out") and ORT_DISABLE_TELEMETRY (27379). Every released wheel that reports obeys the second alone: with the
# first it still writes an identifier of the machine into the home folder.
# Exits with 0 while it is so, with 1 once a version behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
changed=0
for pinned in onnxruntime==1.29.0 onnxruntime==1.30.0 onnxruntime==1.31.1 onnxruntime==1.32.0; do
  version=${pinned#*==}
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet "$pinned" numpy==2.3.5
  for name in ORT_TELEMETRY_DISABLED ORT_DISABLE_TELEMETRY; do
    home=$(mktemp -d "$work/home.XXXX")
    # An empty environment: where CI or its like is set, onnxruntime is silent.
    (cd "$home" && env -i HOME="$home" "$name=1" "$work/$version/bin/python" -c 'import onnxruntime')
    found=$(cd "$home" && find . -name deviceid)
    echo "onnxruntime $version | $name=1 | identifier: ${found:-none}"
    [ "$name" = ORT_TELEMETRY_DISABLED ] && expected=yes || expected=no
    [ "$expected" = "$([ -n "$found" ] && echo yes || echo no)" ] || changed=1
  done
done
exit $changed
