"""Nothing is sent: what mien's commands look up, reach and write, seen by the kernel, without a network.

Outside of a test run by CI, too: onnxruntime is silent by itself where `CI` is set.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import clips
import pytest
from pictures import grace_hopper_path
from recording import Record, Recording, called, missing, recording, written

SERVED = 60  # seconds

pytestmark = [pytest.mark.everywhere, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

# What docs/explanation/trust.md names: files outside of the output.
CACHES = (
    r"HOME/\.(cache|config)(/matplotlib(/.*)?)?",
    r"HOME/\.keras(/keras\.json)?",
    r"HOME/\.ray(/auth_token)?",
    r"TMP/.*",
    r"/dev/shm/.*",
    r".*/__pycache__(/.*)?",
)


def strangers(record: Record, of: Recording) -> list[str]:
    """What was written neither to the output nor to a named cache."""
    names = {str(of.out): "OUT", str(of.tmp): "TMP", str(of.home): "HOME", str(of.folder): "HERE"}
    found = []
    for path in sorted(map(str, record.written)):
        for folder, name in names.items():
            path = re.sub(f"^{re.escape(folder)}(?=/|$)", name, path)
        if not re.fullmatch(r"OUT(/.*)?", path) and not any(re.fullmatch(cache, path) for cache in CACHES):
            found.append(path)
    return found


def check(of: Recording, words: str = "", *, caches: bool = False) -> None:
    """It did its work and called nobody; into the home folder it wrote what is named, or nothing without `caches`."""
    record = of.end()
    assert record.code == 0, record.words
    assert words in record.words
    assert record.called == []
    assert strangers(record, of) == []
    assert caches or not any(of.home.iterdir())
    left = {path.name for path in of.tmp.iterdir()}
    assert left <= {
        "ray",
        "__pycache__",
    }  # temporary files are gone, but for Ray's logs and TensorFlow's bytecode


def mien(line: str) -> list[str]:
    return [sys.executable, "-m", "mien", *line.split()]


@pytest.fixture(scope="session")
def served() -> Iterator[Recording | None]:
    """A server, used for a minute while the other tests run; None without its packages."""
    if find_spec("fastapi") is None:
        yield None
        return
    script = Path(__file__).with_name("used_server.py")
    with recording(sys.executable, str(script), str(SERVED), str(grace_hopper_path())) as begun:
        yield begun


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(grace_hopper_path().read_bytes())
    return folder


class TestTheRecorder:
    """That it can see: each of these would make a test below fail."""

    def seen(self, code: str) -> tuple[Record, list[str]]:
        with recording(sys.executable, "-c", code) as begun:
            record = begun.end()
            return record, strangers(record, begun)

    def test_sees_a_look_up(self) -> None:
        code = "import socket\ntry: socket.getaddrinfo('example.invalid', 80)\nexcept OSError: print('not found')"
        record, _ = self.seen(code)
        assert record.words == "not found\n"
        assert record.called
        assert all(who.endswith("port 53") for who in record.called)

    @pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
    def test_sees_a_connection(self, kind: str) -> None:
        code = (
            f"import socket\ns = socket.socket(socket.AF_INET, socket.{kind})\ns.settimeout(1)\n"
            "try: s.connect(('192.0.2.77', 443))\nexcept OSError: pass"
        )
        assert self.seen(code)[0].called == ["192.0.2.77 port 443"]

    def test_sees_what_a_child_sends_without_a_connection(self) -> None:
        child = (
            "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
            "try: s.sendto(b'x', ('2001:db8::7', 9))\nexcept OSError: pass"
        )
        code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
        assert self.seen(code)[0].called == ["2001:db8::7 port 9"]

    def test_takes_loopback_for_its_own(self) -> None:
        code = (
            "import socket\na = socket.create_server(('127.0.0.1', 0))\n"
            "socket.create_connection(a.getsockname()).sendall(b'x')\nprint(a.accept()[0].recv(1))"
        )
        record, strange = self.seen(code)
        assert (record.words, record.called, strange) == ("b'x'\n", [], [])

    def test_sees_a_file_in_the_home_folder_and_elsewhere(self, tmp_path: Path) -> None:
        code = (
            "import os; from pathlib import Path; maker = Path.home() / '.cache/maker'; maker.mkdir(parents=True)\n"
            f"(maker / 'id').write_text('x'); os.rename(maker / 'id', {str(tmp_path / 'b')!r})\n"
            "Path('beside').touch(); Path('out/a').touch()"
        )
        record, strange = self.seen(code)
        assert record.code == 0, record.words
        assert strange == [str(tmp_path / "b"), "HERE/beside", "HOME/.cache/maker", "HOME/.cache/maker/id"]

    def test_sees_onnxruntime_where_nobody_silences_it(self) -> None:
        version = tuple(map(int, metadata.version("onnxruntime").split(".")[:2]))
        if version < (1, 29):
            pytest.skip(f"onnxruntime {version} reports nothing")
        _, strange = self.seen("import onnxruntime")
        assert any(path.endswith("/deviceid") for path in strange)

    @pytest.mark.parametrize(
        ("address", "port", "ours"),
        [
            ("127.0.0.1", 80, True),
            ("127.0.0.53", 53, False),
            ("192.0.2.1", 9, False),
            ("::1", 80, True),
            ("::ffff:127.0.0.1", 80, True),
            ("::ffff:192.0.2.1", 80, False),
            ("fe80::1", 80, False),
        ],
    )
    def test_reads_addresses(self, address: str, port: int, ours: bool) -> None:
        if ":" in address:
            told = f"sa_family=AF_INET6, sin6_port=htons({port}), sin6_flowinfo=htonl(0), "
            told += f'inet_pton(AF_INET6, "{address}", &sin6_addr), sin6_scope_id=0'
        else:
            told = f'sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{address}")'
        for line in (
            f"connect(3<socket:[1]>, {{{told}}}, 16) = 0",
            f'sendto(3<socket:[1]>, "x", 1, 0, {{{told}}}, 16) = 1',
            f"sendmsg(3<socket:[1]>, {{msg_name={{{told}}}, msg_namelen=16}}, 0) = 1",
        ):
            assert called(line) == ([] if ours else [f"{address} port {port}"])

    @pytest.mark.parametrize(
        ("told", "ours"),
        [
            ('sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (No such file)', True),
            ('sa_family=AF_UNIX, sun_path="/tmp/ray/plasma_store"}, 24) = 0', True),
            ('sa_family=AF_UNIX, sun_path="/run/systemd/resolve/io.systemd.Resolve"}, 42) = 0', False),
            ("sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 0", True),
        ],
    )
    def test_takes_a_resolver_behind_a_socket_for_a_look_up(self, told: str, ours: bool) -> None:
        assert bool(called(f"connect(3<socket:[1]>, {{{told}")) is not ours

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ('openat(AT_FDCWD</a>, "b", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 3</a/b>', ["/a/b"]),
            ('openat(AT_FDCWD</a>, "/c/b", O_RDWR) = -1 EACCES (Permission denied)', ["/c/b"]),
            ('openat(AT_FDCWD</a>, "b", O_RDONLY|O_CLOEXEC) = 3</a/b>', []),
            ('openat(AT_FDCWD</a>, "/dev/null", O_WRONLY) = 3</dev/null>', []),
            ('mkdir("/a/b", 0777) = 0', ["/a/b"]),
            ('renameat2(AT_FDCWD</a>, "b", 5</c>, "d", 0) = 0', ["/c/d"]),
            ('rename("/a/b", "c") = 0', ["/s/c"]),
            ('symlink("b", "/a/c") = 0', ["/a/c"]),
        ],
    )
    def test_reads_paths(self, line: str, expected: list[str]) -> None:
        assert written(line, Path("/s")) == expected


@pytest.mark.slow
@pytest.mark.usefixtures("served")
class TestCommands:
    def test_demo(self) -> None:
        with recording(*mien("demo --output out/demo")) as begun:
            check(begun, "neutral", caches=True)

    def test_image(self, photos: Path) -> None:
        options = "--annotate out/seen --format csv --output out/faces.csv"
        with recording(*mien(f"image {photos} {options}")) as begun:
            check(begun)
            assert len(list(begun.out.rglob("*"))) == 4
        with recording(*mien(f"image {photos} --chart out/charts")) as begun:
            check(begun, caches=True)
            assert len(list(begun.out.rglob("*"))) == 3

    def test_video(self, tmp_path: Path) -> None:
        pictures = (clips.scene((0, 4 * i, 90)) for i in range(20))
        clip = clips.write_clip(tmp_path / "a.mp4", pictures, sound="aac")
        options = "--annotate out/faces.mp4 --report out/faces.html --format csv --output out/faces.csv"
        with recording(*mien(f"video {clip} {options}")) as begun:
            check(begun)
            assert {path.name for path in begun.out.iterdir()} == {"faces.mp4", "faces.html", "faces.csv"}

    @pytest.mark.parametrize("engine", ["local", "ray"])
    def test_batch(self, photos: Path, engine: str) -> None:
        pytest.importorskip("ray" if engine == "ray" else "fsspec")
        options = f"--output out/faces --engine {engine} --workers 2 --part-size 1"
        with recording(*mien(f"batch {photos} {options}")) as begun:
            check(begun, "2 pictures, 2 faces, 0 errors", caches=engine == "ray")

    def test_train(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorflow")
        from small_runs import write_fer2013

        write_fer2013(tmp_path / "fer2013.csv")
        options = "--output out/run --network tutorial-cnn --epochs 1"
        with recording(*mien(f"train {tmp_path}/fer2013.csv {options}")) as begun:
            check(begun, caches=True)
            assert (begun.out / "run" / "export" / "model.onnx").is_file()

    @pytest.mark.parametrize("second", ["", "import onnxruntime\n"])
    def test_a_program_that_imports_mien_first(self, second: str) -> None:
        picture = str(grace_hopper_path())
        code = f"import mien\n{second}print(len(mien.EmotionRecognizer().recognize({picture!r})))"
        with recording(sys.executable, "-c", code) as begun:
            check(begun, "1\n")

    @pytest.mark.last  # by then the minute may be over
    def test_serve(self, served: Recording | None) -> None:
        if served is None:
            pytest.skip("needs mien[serve]")
        check(served, "faces")
