"""Clips on the server: what is taken, how far it is, the page in the end, and that nothing stays behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from clips import scene, story, write_clip
from typer.testing import CliRunner

pytest.importorskip("fastapi")

from serving import Server, serving

from mien.cli.app import command_line
from mien.server.clips import kept as kept_clips
from mien.server.clips.kept import Kept

pytestmark = pytest.mark.slow

TOKEN = "s3cret-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's temporary files are."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def server(temporary: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        with serving(
            "--max-clip-bytes", "3000000", "--idle", "1", "--max-clip-seconds", "60", token=TOKEN
        ) as server:
            yield server


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "two people.mp4", story())


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute, which takes seconds to analyse."""
    frames = (scene((0, 200 + i % 40, 90), (1, 20, 110)) for i in range(1500))
    return write_clip(tmp_path_factory.mktemp("clips") / "long.mp4", frames)


def send(
    client: httpx.Client, body: bytes, name: str = "clip.mp4", kind: str = "video/mp4"
) -> httpx.Response:
    return client.post(
        "/v1/clips", params={"name": name}, content=body, headers={**BEARER, "Content-Type": kind}
    )


def wait(client: httpx.Client, href: str) -> dict[str, Any]:
    """Its state, once it is no longer analysed."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        state = client.get(href, headers=BEARER).json()
        if state["state"] != "running":
            return dict(state)
        time.sleep(0.05)
    raise TimeoutError(href)


@pytest.mark.everywhere
def test_the_page_is_that_of_the_command(server: Server, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server.client() as client:
        taken = send(client, clip.read_bytes(), clip.name)
        assert taken.status_code == 202
        assert taken.headers["location"] == taken.json()["href"]
        state = wait(client, taken.json()["href"])
        assert state["state"] == "done"
        assert (state["frames"], state["people"], state["error"]) == (150, 4, None)
        assert state["total"] == pytest.approx(6.0, abs=0.1)
        # Who knows the name needs no token: a browser sends none with a link.
        page = client.get(state["page"])
        played = client.get(state["page"] + "two%20people.mp4", headers={"Range": "bytes=0-99"})
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'unsafe-inline'" in page.headers["content-security-policy"]
    assert "script-src 'sha256-" in page.text  # narrower
    assert played.status_code == 206
    assert played.content == clip.read_bytes()[:100]
    monkeypatch.chdir(clip.parent)
    done = CliRunner().invoke(command_line(), ["video", clip.name, "--report", "page.html", "-o", "rows.csv"])
    assert done.exit_code == 0
    assert page.text == Path("page.html").read_text(encoding="utf-8")


@pytest.mark.everywhere
def test_what_is_no_clip(server: Server, temporary: Path) -> None:
    with server.client() as client:
        state = wait(client, send(client, b"no clip at all", "holiday.mp4").json()["href"])
    assert state["state"] == "failed"
    assert state["error"].startswith("holiday.mp4: not a video")
    assert state["page"] is None
    assert str(temporary) not in str(state)


def test_half_a_clip_has_a_page_and_says_so(server: Server, clip: Path) -> None:
    data = write_clip(clip.with_suffix(".mkv"), story()).read_bytes()
    with server.client() as client:
        state = wait(client, send(client, data[: len(data) // 2], "half.mkv").json()["href"])
        assert state["state"] == "done"
        assert state["error"].startswith("half.mkv: ")
        assert "Part of the clip could not be read" in client.get(state["page"]).text


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"x" * 3_000_001, "video/mp4", 413, "a clip of more than 3,000,000 bytes"),
        (b"x", "text/plain", 415, "a body of type text/plain; expected a clip"),
        (b"", "video/mp4", 422, "an empty body; expected a clip"),
    ],
)
def test_refused(server: Server, temporary: Path, body: bytes, kind: str, status: int, words: str) -> None:
    before = folders(temporary)
    with server.client() as client:
        answer = send(client, body, kind=kind)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert folders(temporary) == before


def test_too_large_without_a_length(server: Server, temporary: Path) -> None:
    before = folders(temporary)
    with server.client() as client:
        answer = client.post(
            "/v1/clips",
            content=(b"x" * 100_000 for _ in range(40)),
            headers={**BEARER, "Content-Type": "video/mp4"},
        )
    assert answer.status_code == 413
    assert folders(temporary) == before


def folders(temporary: Path) -> list[str]:
    return sorted(path.name for root in temporary.glob("mien-clips-*") for path in root.iterdir())


def files(temporary: Path, state: dict[str, Any]) -> list[str]:
    """In the folder of a clip."""
    folder = next(temporary.rglob(state["page"].split("/")[2]))
    return sorted(path.name for path in folder.iterdir())


def test_one_at_a_time_and_stopped(server: Server, long_clip: Path, clip: Path, temporary: Path) -> None:
    with server.client() as client:
        href = send(client, long_clip.read_bytes()).json()["href"]
        second = send(client, clip.read_bytes())
        assert second.status_code == 503
        assert second.headers["retry-after"] == "1"
        assert href.rsplit("/", 1)[1] in folders(temporary)
        assert client.delete(href, headers=BEARER).status_code == 204
        assert wait(client, href)["state"] == "stopped"
        assert href.rsplit("/", 1)[1] not in folders(temporary)


def test_stopped_where_nobody_asks(server: Server, long_clip: Path, temporary: Path) -> None:
    with server.client() as client:
        href = send(client, long_clip.read_bytes()).json()["href"]
        name = href.rsplit("/", 1)[1]
        end = time.monotonic() + 60
        while name in folders(temporary) and time.monotonic() < end:
            time.sleep(0.2)
        assert client.get(href, headers=BEARER).json()["state"] == "stopped"


@pytest.mark.everywhere
def test_deleted_when_asked(server: Server, clip: Path, temporary: Path) -> None:
    with server.client() as client:
        href = send(client, clip.read_bytes()).json()["href"]
        page = wait(client, href)["page"]
        client.delete(href, headers=BEARER)
        assert client.get(page).status_code == 404
    assert href.rsplit("/", 1)[1] not in folders(temporary)


def test_the_token(server: Server, clip: Path) -> None:
    with server.client() as client:
        answer = client.post("/v1/clips", content=clip.read_bytes(), headers={"Content-Type": "video/mp4"})
        assert answer.status_code == 401
        assert client.get("/v1/clips/any").status_code == 401
        assert client.get("/v1/clips/any", headers=BEARER).status_code == 404
        assert client.get("/clips/any/").status_code == 404


@pytest.mark.parametrize("name", ["../../etc/clip.mp4", "/clip.mp4", "C:\\Users\\clip.mp4", "a/clip.mp4"])
def test_names_are_no_paths(server: Server, clip: Path, temporary: Path, name: str) -> None:
    with server.client() as client:
        state = wait(client, send(client, clip.read_bytes(), name).json()["href"])
        assert state["name"] == "clip.mp4"
        assert files(temporary, state) == ["clip.mp4", "index.html"]
        for path in ("../" * 4 + "etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..", "%2Fetc%2Fpasswd"):
            found = client.get(state["page"] + path)
            assert found.status_code == 404


@pytest.mark.everywhere
def test_a_list_of_other_files_is_no_clip(server: Server, clip: Path) -> None:
    for words in (f"ffconcat version 1.0\nfile '{clip}'\n", f"#EXTM3U\n#EXTINF:6,\n{clip}\n"):
        with server.client() as client:
            state = wait(client, send(client, words.encode(), "list.mp4").json()["href"])
        assert state["state"] == "failed"
        assert state["error"].startswith("list.mp4: ")


def test_the_next_clip_need_not_wait_for_one_that_was_stopped(
    server: Server, clip: Path, long_clip: Path
) -> None:
    with server.client() as client:
        first = send(client, long_clip.read_bytes()).json()["href"]
        client.delete(first, headers=BEARER)
        second = send(client, clip.read_bytes())
        assert second.status_code == 202
        assert wait(client, second.json()["href"])["state"] == "done"


def test_frames_of_too_many_pixels(clip: Path) -> None:
    with serving("--max-pixels", "200000") as server, server.client() as client:
        state = wait(client, send(client, clip.read_bytes()).json()["href"])
    assert state["state"] == "failed"
    assert state["error"] == "clip.mp4: frames of 640 x 360 pixels; expected at most 200,000 pixels"


def test_odd_names(server: Server, clip: Path, temporary: Path) -> None:
    with server.client() as client:
        for name, file in (
            ("<b>ü:?.mp4", "clip.mp4"),
            ("index.html", "clip"),
            ("nul.mp4", "clip.mp4"),
            (".mp4", "clip"),
            ("", "clip"),
        ):
            state = wait(client, send(client, clip.read_bytes(), name).json()["href"])
            assert files(temporary, state) == sorted([file, "index.html"])
            assert "<b>" not in client.get(state["page"]).text.split("<style>")[0]


def test_a_server_that_takes_none(clip: Path) -> None:
    with serving("--max-clip-bytes", "0") as server, server.client() as client:
        answer = send(client, clip.read_bytes())
        assert answer.status_code == 403
        assert "--max-clip-bytes 0" in answer.json()["detail"]


def test_nothing_stays_behind(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving() as server, server.client() as client:
        wait(client, send(client, clip.read_bytes()).json()["href"])
        assert len(folders(tmp_path)) == 1
        assert server.stop() == 0
    assert list(tmp_path.glob("mien-clips-*")) == []


def test_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(kept_clips, "MOST", 2)
    kept = Kept(1000)
    made = [kept.new() for _ in range(4)]
    for folder in made[:3]:
        kept.finish(folder)
    assert [folder.exists() for folder in made] == [False, True, True, True]
    assert kept.find(made[3].name) is None  # not finished
    assert kept.find(made[2].name) == made[2]
    (made[3] / "large").write_bytes(bytes(900))
    (made[2] / "large").write_bytes(bytes(900))
    kept.finish(made[2])
    kept.finish(made[3])
    assert [folder.exists() for folder in made] == [False, False, False, True]
    assert kept.find(made[3].name) == made[3]  # the newest in any case
    made.append(kept.new())
    monkeypatch.setattr(kept_clips, "SECONDS", -1.0)
    assert kept.find(made[3].name) is None
    kept.sweep()
    assert [folder.exists() for folder in made] == [False, False, False, False, True]
    assert made[4].stat().st_mode & 0o077 == 0
    kept.close()
    assert list(tmp_path.iterdir()) == []
