#!/usr/bin/env bash
# onnxruntime's wheels for Linux report to their maker since 1.29, and `onnxruntime.disable_telemetry_events()` cannot be
# called early enough: `import onnxruntime` alone writes a persistent identifier of the machine and a queue of events into
# the home folder. Only an environment variable that is set before the import keeps it from that. 1.28 writes nothing.
# Exits with 0 while it is so, with 1 once a version behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
changed=0

written() { # version, whether files are expected, what is run, variables
  local version=$1 expected=$2 code=$3 home found
  shift 3
  home=$(mktemp -d "$work/home.XXXX")
  # An empty environment: where CI or its like is set, onnxruntime is silent.
  (cd "$home" && env -i HOME="$home" "$@" "$work/$version/bin/python" -c "$code")
  found=$(cd "$home" && find . -type f | sort | tr '\n' ' ')
  echo "onnxruntime $version | ${*:-nothing set} | $code | files in the home folder: ${found:-none}"
  [ "$expected" = "$([[ $found == *deviceid* ]] && echo yes || echo no)" ] || changed=1
}

for pinned in onnxruntime==1.28.0 onnxruntime==1.29.0 onnxruntime==1.32.0; do
  version=${pinned#*==}
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet "$pinned" numpy==2.3.5
done
off='import onnxruntime; onnxruntime.disable_telemetry_events()'
written 1.28.0 no "$off"
written 1.29.0 yes "$off"
written 1.32.0 yes "$off"
written 1.29.0 no "$off" ORT_DISABLE_TELEMETRY=1
written 1.32.0 no "$off" ORT_DISABLE_TELEMETRY=1
exit $changed
