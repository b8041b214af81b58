#!/usr/bin/env bash
# With RAY_USAGE_STATS_ENABLED=0 and without a dashboard, `ray.init()` still starts the process that reports usage, and that
# asks the metadata servers of Azure, Google and Amazon where it runs before it looks at the switch: requests to
# 169.254.169.254, and a look-up of metadata.google.internal. They are seen here by an HTTP proxy that answers nothing.
# Exits with 0 while it is so, with 1 once that version behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "ray==2.60.0"
mkdir "$work/home"
cat > "$work/asked.py" <<'PYTHON'
import os, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

asked = []

class Proxy(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        self.send_error(404)
    do_CONNECT = do_POST = do_GET
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HTTP_PROXY"] = os.environ["http_proxy"] = f"http://127.0.0.1:{server.server_port}"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         _node_ip_address="127.0.0.1")
end = time.monotonic() + 60
while len(asked) < 3 and time.monotonic() < end:
    time.sleep(0.5)
ray.shutdown()
print(f"ray {ray.__version__} | RAY_USAGE_STATS_ENABLED=0, include_dashboard=False | asked:")
print(*asked, sep="\n")
raise SystemExit(not any("169.254.169.254" in path for path in asked))
PYTHON
env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" "$work/venv/bin/python" "$work/asked.py"
