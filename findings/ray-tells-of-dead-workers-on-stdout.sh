#!/usr/bin/env bash
# With `log_to_driver=False` and `logging_level=ERROR`, a driver of Ray whose worker dies, and is restarted as it was asked
# to be, prints a paragraph on the death to its standard output, among whatever the program writes there for others to
# read; the call that was lost is repeated and succeeds. Exits with 0 while it is so, with 1 once that version behaves
# otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "ray==2.60.0"
mkdir "$work/home"
cat > "$work/driver.py" <<'PYTHON'
import os, pathlib, signal, sys, time

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         _node_ip_address="127.0.0.1")


@ray.remote(max_restarts=1, max_task_retries=1)
class Worker:
    def process(self):
        return os.getpid()

    def work(self, mark):
        if not pathlib.Path(mark).exists():  # the first time: as if the system had killed it
            pathlib.Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"


worker = Worker.remote()
first = ray.get(worker.process.remote())
answer = ray.get(worker.work.remote(sys.argv[1]), timeout=120)
restarted = ray.get(worker.process.remote()) != first
time.sleep(5)
ray.shutdown()
print(f"ray {ray.__version__}: {answer}, restarted: {restarted}", file=sys.stderr)
PYTHON
env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" \
  "$work/venv/bin/python" "$work/driver.py" "$work/mark" > "$work/stdout" 2> "$work/stderr"
cat "$work/stderr"
echo "on stdout, where the program has written nothing: $(wc -c < "$work/stdout") bytes"
cut -c1-100 "$work/stdout"
grep -q "done, restarted: True" "$work/stderr" && grep -q "worker died or was killed" "$work/stdout"
