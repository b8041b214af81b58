#!/usr/bin/env python3
"""Builds the container, starts it without a network, on read-only files, and asks it for a face.

Where no Docker daemon answers, the Dockerfile's own lines are run in a mount namespace that looks like the image: this
Python at /usr/local, the same folders, the same user, and for the server no network and nothing to write to
but an empty /tmp.
That needs Linux and root; elsewhere it says so and ends well.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOADER = "LD_LIBRARY_PATH=/usr/local/lib"  # which the image's loader knows
ASK = """
import json, urllib.request
from mien.charts import sample_portrait
data, kind = sample_portrait().read_bytes(), {"Content-Type": "image/jpeg"}
request = urllib.request.Request("http://127.0.0.1:8000/v1/recognize", data, kind)
(result,) = json.load(urllib.request.urlopen(request, timeout=60))
print("faces:", [face["emotion"] for face in result["faces"]])
if len(result["faces"]) != 1:
    raise SystemExit("expected one face")
"""


def main() -> None:
    """With Docker, or without."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        with_docker()
    elif sys.platform == "linux" and os.geteuid() == 0 and shutil.which("unshare"):
        print("no Docker daemon: running the Dockerfile's lines in a namespace")
        without_docker()
    else:
        print("skipped: no Docker daemon, and no namespaces without Linux and root")


def with_docker() -> None:
    """Build the image, wait until it is healthy, ask it for a face, stop it."""
    subprocess.run(["docker", "build", "--tag", "mien", ROOT], check=True)
    shut = ["--read-only", "--tmpfs=/tmp", "--network=none", "--cap-drop=ALL"]
    start = ["docker", "run", "--detach", *shut, "--security-opt", "no-new-privileges", "mien"]
    name = subprocess.run(start, check=True, capture_output=True, text=True).stdout.strip()
    try:
        health = ["docker", "inspect", "--format", "{{.State.Health.Status}}", name]
        wait(lambda: subprocess.run(health, capture_output=True, text=True).stdout.strip() == "healthy")
        subprocess.run(["docker", "exec", name, "python", "-c", ASK], check=True)
        subprocess.run(["docker", "stop", "--time", "30", name], check=True, capture_output=True)
        ended = ["docker", "inspect", "--format", "{{.State.ExitCode}}", name]
        finish(subprocess.run(ended, check=True, capture_output=True, text=True).stdout.strip())
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)


def without_docker() -> None:
    """The Dockerfile's RUN lines, then its CMD with its HEALTHCHECK, as its USER with its ENV."""
    build, final = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        opt = Path(folder) / "opt"
        copy_context(opt / "sources")
        Path(folder).chmod(0o755)
        look = f"mount --bind {opt} /opt && mount --bind {sys.base_prefix} /usr/local"
        lines = " && ".join(value for name, value in build if name == "RUN")
        env = ["env", "PATH=/usr/local/bin:/usr/bin:/bin", LOADER, "PIP_QUIET=1"]
        inside = f"{look} && cd /opt/sources && {shlex.join([*env, 'sh', '-euxc', lines])}"
        subprocess.run(["unshare", "--mount", "sh", "-euc", inside], check=True)
        shutil.rmtree(opt / "sources")  # the final stage has only what it copies
        serve(look, dict(final), [value for name, value in final if name == "ENV"])


def serve(look: str, final: dict[str, str], env: list[str]) -> None:
    """Start the server in namespaces of its own, and ask it from within."""
    user, group = final["USER"].split(":")
    shut = (
        f"ip link set lo up && {look} && mount -o remount,ro,bind /opt && mount -o remount,ro,bind /usr/local"
        " && mount -t tmpfs tmpfs /tmp && mount -o remount,ro,bind / && cd /tmp"
    )
    as_user = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    as_user += ["--bounding-set=-all", "env", "-i", LOADER, *shlex.split(" ".join(env))]
    command = [*as_user, *json.loads(final["ENTRYPOINT"]), *json.loads(final["CMD"])]
    inside = f"{shut} && exec {shlex.join(command)}"
    server = subprocess.Popen(["unshare", "--mount", "--net", "sh", "-euc", inside])
    try:
        enter = ["nsenter", f"--target={server.pid}", "--mount", "--net", "--wd=/", *as_user]
        health = json.loads(final["HEALTHCHECK"].partition("CMD ")[2])
        wait(lambda: subprocess.run([*enter, *health], capture_output=True).returncode == 0, server)
        subprocess.run([*enter, "python", "-c", ASK], check=True)
        portrait = "from mien.charts import sample_portrait; print(sample_portrait())"
        found = subprocess.run([*enter, "python", "-c", portrait], check=True, capture_output=True, text=True)
        subprocess.run([*enter, "mien", "image", found.stdout.strip(), "--format", "csv"], check=True)
        out = "import socket; socket.create_connection(('192.0.2.1', 9), 3)"
        if subprocess.run([*enter, "python", "-c", out], capture_output=True).returncode == 0:
            raise SystemExit("the namespace has a network: this shows nothing")
        server.terminate()
        finish(str(server.wait(60)))
    finally:
        server.kill()


def stages(text: str) -> list[list[tuple[str, str]]]:
    """The instructions of each stage of a Dockerfile, in order; continued lines are joined."""
    found: list[list[tuple[str, str]]] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _, value = line.partition(" ")
        if name == "FROM":
            found.append([])
        elif name and not name.startswith("#"):
            found[-1].append((name, value.strip()))
    return found


def copy_context(to: Path) -> None:
    """What .dockerignore lets into the image."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, to / name)


def wait(ready, server: subprocess.Popen[bytes] | None = None) -> None:
    """Until the health check says yes, for two minutes."""
    for _ in range(120):
        if ready():
            return
        if server is not None and server.poll() is not None:
            break
        time.sleep(1)
    raise SystemExit("the server did not become healthy")


def finish(code: str) -> None:
    """Say how it ended; anything but 0 is a failure."""
    print(f"stopped by SIGTERM with {code}")
    if code != "0":
        raise SystemExit("expected to end with 0")


if __name__ == "__main__":
    main()
