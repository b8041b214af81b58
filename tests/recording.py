"""Commands run where no network is, and what the kernel saw of them: whom they looked up or called, what they wrote.

`strace` sees every process and every library, C++ ones too, which Python's hooks do not. As a script, this file is what
runs inside of the network namespace: loopback up, an address that leads nowhere, then the command.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

NSCD = Path("/var/run/nscd/socket")
"""A service that looks names up for others: what it is asked, the trace does not show."""

_CONNECT = "connect sendto sendmsg sendmmsg"
_WRITE = (
    "open openat openat2 creat truncate mkdir mkdirat mknod mknodat "
    "rename renameat renameat2 link linkat symlink symlinkat"
)
_NAMESPACE = ["unshare", "--net", "--map-root-user"]
_INTERFACE = (("lo", "127.0.0.1"), ("lo:1", "192.0.2.2"))  # the second is one of those that nobody may have


@dataclass(frozen=True)
class Record:
    """What a command did.

    Attributes:
        code: its exit code.
        words: its output, both streams.
        called: whom it tried to look up or to reach, but for loopback and the machine's own sockets.
        written: every path that it tried to make, or to open for writing.
    """

    code: int
    words: str
    called: list[str]
    written: set[Path]


@dataclass
class Recording:
    """A command that runs in a folder of its own, with a home that is empty and nothing of CI in its environment.

    It begins at once; `end` waits for it.
    """

    command: list[str]
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Ray's sockets may have a path of 107 letters at most: pytest's folders are too long.
        self.folder = Path(tempfile.mkdtemp(prefix="seen"))
        for name in ("home", "out", "tmp", "trace"):
            (self.folder / name).mkdir()
        self.home, self.out, self.tmp = (self.folder / name for name in ("home", "out", "tmp"))
        kept = ("PATH", "PYTHONPATH", "PYTHONWARNINGS", "LD_LIBRARY_PATH", "SYSTEMROOT")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment |= {"HOME": str(self.home), "TMPDIR": str(self.tmp), "LANG": "C.UTF-8"} | self.variables
        calls = ",".join(f"?{name}" for name in f"{_CONNECT} {_WRITE}".split())
        trace = ["strace", "--seccomp-bpf", "-ff", "-y", "-qq", "-o", str(self.folder / "trace" / "of")]
        self._words = (self.folder / "words").open("w+b")
        self._process = subprocess.Popen(
            [*inside(), *trace, "-e", f"trace={calls}", "-e", "signal=none", "--", *self.command],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def end(self, timeout: float = 300) -> Record:
        """Wait for the command, and read what was seen.

        Raises:
            subprocess.TimeoutExpired: it has not ended after so many seconds.
        """
        code = self._process.wait(timeout)
        self._words.seek(0)
        lines = [
            line
            for path in (self.folder / "trace").iterdir()
            for line in path.read_text(errors="replace").splitlines()
        ]
        return Record(
            code,
            self._words.read().decode(errors="replace"),
            sorted({who for line in lines for who in called(line)}),
            {Path(os.path.normpath(path)) for line in lines for path in written(line, self.folder)},
        )

    def close(self) -> None:
        """End it if it still runs, and remove its folder."""
        if self._process.poll() is None:
            os.killpg(
                self._process.pid, signal.SIGKILL
            )  # its own group: strace alone would leave the command
            self._process.wait()
        self._words.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def recording(*command: str, **variables: str) -> Iterator[Recording]:
    """A command, begun; ended and removed at the end."""
    begun = Recording(list(command), variables)
    try:
        yield begun
    finally:
        begun.close()


def missing() -> str | None:
    """Why nothing can be recorded here; None where it can."""
    if shutil.which("strace") is None:
        return "needs strace (Linux): apt-get install strace"
    if NSCD.exists():
        return f"{NSCD} looks names up for others, unseen"
    done = subprocess.run(["strace", "-qq", "true"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"strace may not trace here: {done.stderr.strip()}"


@cache
def inside() -> list[str]:
    """What a command begins with so that nothing that it sends gets anywhere; nothing where that is not allowed."""
    done = subprocess.run([*_NAMESPACE, sys.executable, __file__, "true"], capture_output=True)
    return [*_NAMESPACE, sys.executable, __file__] if done.returncode == 0 else []


def called(line: str) -> list[str]:
    """Addresses in one line of a trace that are not this machine's own: "192.0.2.1 port 443".

    Port 53 counts wherever it is: many machines have a name server of their own that asks others.
    """
    if not re.match(r"(connect|send\w+)\(", line):
        return []
    if re.search(r'sun_path="[^"]*/(systemd/resolve|nscd|avahi-daemon)/', line) and "ENOENT" not in line:
        return [line]
    found = []
    for part in re.findall(r"sa_family=AF_INET6?,.*?\}", line):
        port = int(re.search(r"port=htons\((\d+)\)", part)[1])
        host = re.search(r'inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"', part)[1]
        if port in (53, 853, 5353) or not re.match(r"(::ffff:)?127\.|::1$|0\.0\.0\.0$|::$", host):
            found.append(f"{host} port {port}")
    return found


def written(line: str, start: Path) -> list[str]:
    """Absolute paths that one line of a trace makes, or opens for writing; the last of two, as `rename` has.

    Calls that name no folder are taken to mean the one where the command was started.
    """
    call = re.match(r"(\w+)\(", line)
    if call is None or call[1] not in _WRITE.split():
        return []
    if call[1].startswith("open") and not re.search(r"O_(WRONLY|RDWR|CREAT)", line):
        return []
    # With -y strace tells the folder of a descriptor, of AT_FDCWD too; `open` and its like have none.
    places = re.findall(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', line)
    if not places:
        return []
    folder, name = places[-1]
    if not name or re.match(r"/(proc|sys)/|/dev/(null|tty|ptmx|pts/)", name):
        return []
    return [os.path.join(start, folder, name)]  # noqa: PTH118 - either may be all there is


def _enter(command: list[str]) -> None:
    """Inside of a new network namespace: bring its loopback up, and become the command.

    The second address is there so that programs do not take the machine for one without a network.
    """
    import fcntl  # on Windows there is none

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name, address in _INTERFACE:
            named = struct.pack("16s", name.encode())
            wanted = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, 0x8916, named + wanted)  # SIOCSIFADDR
            fcntl.ioctl(control, 0x8914, named + struct.pack("H14x", 0x41))  # SIOCSIFFLAGS: up, running
    os.execvp(command[0], command)


if __name__ == "__main__":
    _enter(sys.argv[1:])
