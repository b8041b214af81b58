"""What is made of a clip: an annotated clip that browsers play, and its page; both opened in a real browser."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from browser import needs_chromium, open_browser, until
from clips import FPS, play, scene, story, write_clip
from pictures import pattern

from mien.errors import VideoError
from mien.labels import LABELS
from mien.recognition import EmotionRecognizer
from mien.results import (
    Box,
    Face,
    FaceEmotion,
    FrameResult,
    Prediction,
    Quality,
    TrackedFace,
    TrackedFrame,
)
from mien.video.clip_stats import PEOPLE, POINTS, ClipRecord
from mien.video.clips import Clip, find_clips, output_paths
from mien.video.report import write_clip_report
from mien.video.sampling import Sampling
from mien.video.timeline import Timeline
from mien.video.writer import ClipWriter


def face(track: int, label: str = "happy", share: float = 0.9, x: float = 20) -> FaceEmotion:
    rest = (1 - share) / (len(LABELS) - 1)
    prediction = Prediction({name: share if name == label else rest for name in LABELS})
    return FaceEmotion(Face(Box(x, 20, x + 20, 40), 0.9), prediction, Quality(1.0), track, prediction)


def frame(k: int, *faces: FaceEmotion, fps: float = FPS) -> FrameResult:
    return FrameResult("a.mp4", 64, 48, faces, frame=k, time=k / fps, labels=LABELS, smoothed=True)


class TestWriter:
    def written(self, folder: Path, source: Path, n: int = 30, start: float = 0.0) -> Path:
        path = folder / "out.mp4"
        with ClipWriter(path, source, fps=FPS, start=start) as writer:
            for k in range(n):
                writer.write(pattern(240, 320), frame(round(start * FPS) + k, face(1)))
        return path

    def test_h264_with_boxes_and_times(self, tmp_path: Path) -> None:
        path = self.written(tmp_path, tmp_path / "none.mp4")
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert not container.streams.audio
        times, pictures = play(path)
        assert times == pytest.approx([k / FPS for k in range(30)], abs=0.001)
        change = np.abs(pictures[9].astype(int) - pattern(240, 320)).max(axis=2)
        assert change[20:40, 20:40].max() > 60
        assert change[120:, 160:].mean() < 12

    @pytest.mark.parametrize(
        ("name", "codec", "sound"),
        [("a.mp4", "libx264", "aac"), ("a.mkv", "libx264", "mp3"), ("a.avi", "mpeg4", "pcm_s16le")],
    )
    def test_the_sound_is_taken_over(self, tmp_path: Path, name: str, codec: str, sound: str) -> None:
        source = write_clip(tmp_path / name, [pattern(48, 64)] * 50, codec=codec, sound=sound)
        path = self.written(tmp_path, source, 25, start=1.0)
        with av.open(str(path)) as container:
            codec = container.streams.audio[0].codec.canonical_name
            assert codec == (sound if sound in ("aac", "mp3") else "aac")
            samples = [f.to_ndarray() for f in container.decode(audio=0)]
        length = sum(s.shape[-1] // (1 if s.shape[0] > 1 else 2) for s in samples) / 44_100
        assert length == pytest.approx(1.0, abs=0.12)
        assert np.abs(np.concatenate(samples, axis=-1)).mean() > 0.05

    def test_the_sound_of_a_clip_whose_title_has_another_coding(self, tmp_path: Path) -> None:
        title = "Café".encode("latin-1")
        source = write_clip(tmp_path / "a.mkv", [pattern(48, 64)] * 50, sound="aac", title=title)
        with av.open(str(self.written(tmp_path, source, 25))) as container:
            assert len(container.streams.audio) == 1

    def test_odd_sizes_are_filled_up(self, tmp_path: Path) -> None:
        with ClipWriter(tmp_path / "out.mp4", tmp_path / "none.mp4") as writer:
            writer.write(pattern(47, 63), frame(0))
        assert play(tmp_path / "out.mp4")[1][0].shape == (48, 64, 3)

    def test_an_exception_leaves_a_clip_that_plays(self, tmp_path: Path) -> None:
        with (
            pytest.raises(KeyboardInterrupt),
            ClipWriter(tmp_path / "out.mp4", tmp_path / "none.mp4") as writer,
        ):
            for k in range(10):
                writer.write(pattern(48, 64), frame(k))
            raise KeyboardInterrupt
        assert len(play(tmp_path / "out.mp4")[0]) == 10

    def test_nothing_written_leaves_no_file(self, tmp_path: Path) -> None:
        with ClipWriter(tmp_path / "out.mp4", tmp_path / "none.mp4"):
            pass
        assert not (tmp_path / "out.mp4").exists()

    def test_frames_of_another_size(self, tmp_path: Path) -> None:
        with (
            pytest.raises(VideoError, match="size"),
            ClipWriter(tmp_path / "out.mp4", tmp_path / "none.mp4") as writer,
        ):
            writer.write(pattern(48, 64), frame(0))
            writer.write(pattern(64, 48), frame(1))

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with (
            pytest.raises(OSError, match="no"),
            ClipWriter(tmp_path / "no" / "out.mp4", tmp_path / "none.mp4"),
        ):
            pass


class TestRecord:
    def test_seconds_shares_and_peaks(self) -> None:
        record = ClipRecord(LABELS)
        for k in range(50):
            faces = [face(1, "happy" if k < 20 else "sad", 0.5 + k / 200)] if k < 40 else []
            record.add(frame(k, *faces), pattern(48, 64))
        (person,) = record.people.values()
        assert person.seconds == pytest.approx({"happy": 0.8, "sad": 0.8})
        assert record.without_face == pytest.approx(0.4)
        assert record.seconds == pytest.approx(2.0)
        assert {label: peak.time for label, peak in person.peaks.items()} == {
            "happy": 19 / FPS,
            "sad": 39 / FPS,
        }
        assert person.peaks["sad"].face.shape == (96, 96, 3)
        assert len(person.timeline.points()) == 40

    @pytest.mark.slow
    def test_memory_does_not_grow(self) -> None:
        record = ClipRecord(LABELS)
        picture = pattern(48, 64)

        def watch(begin: int, end: int) -> int:
            for k in range(begin, end):
                record.add(frame(k, face(1), face(2 + k // 20, x=40)), picture)
            return tracemalloc.get_traced_memory()[0]

        watch(0, 4000)
        tracemalloc.start()
        growth = watch(4000, 12_000)
        tracemalloc.stop()
        assert growth < 3_000_000
        assert len(record.people) <= PEOPLE
        assert len(record.people[1].timeline.points()) <= POINTS
        assert record.others + len(record.people) == 1 + 12_000 // 20

    def test_a_timeline_keeps_the_means(self) -> None:
        timeline = Timeline(10)
        for k in range(1000):
            timeline.add(k / 25, [float(k), 1.0])
        points = timeline.points()
        assert 5 <= len(points) <= 10
        assert all(values[1] == pytest.approx(1) for _, values in points)
        assert [t for t, _ in points] == sorted(t for t, _ in points)
        assert points[-1][1][0] > 800


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the story, annotated, and its page."""
    folder = tmp_path_factory.mktemp("made")
    clip = write_clip(folder / "story <b>.mp4", story(), sound="aac")
    outputs = {"annotated": folder / "annotated.mp4", "report": folder / "page.html"}
    for _ in Clip(EmotionRecognizer(detector="haar"), clip, Sampling(every=2), **outputs).watch():
        pass
    yield folder


@pytest.mark.slow
class TestCrowd:
    def test_who_is_in_view_all_the_time_is_counted_once(self) -> None:
        record = ClipRecord(LABELS)
        probabilities = dict.fromkeys(LABELS, 0.0) | {"happy": 1.0}
        one = Prediction(probabilities)
        faces = tuple(
            TrackedFace(Face(Box(20 * k, 0, 20 * k + 18, 18), 0.9), one, track=k, smoothed=one)
            for k in range(1, PEOPLE + 11)
        )
        for frame in range(100):
            record.add(
                TrackedFrame("crowd.mp4", 2000, 100, faces, frame=frame, time=0.1 * frame, labels=LABELS),
                None,
            )
        assert len(record.people) == PEOPLE
        assert record.others == 10
        total = sum(person.total for person in record.people.values()) + record.others_seconds
        assert total == pytest.approx(100 * 0.1 * (PEOPLE + 10), rel=0.02)


class TestPage:
    def test_it_says_what_was_seen(self, made: Path) -> None:
        page = (made / "page.html").read_text(encoding="utf-8")
        for words in ("story &lt;b&gt;.mp4", "Time without a face", "every 2.", "mien-s", "haar", "Person 1"):
            assert words in page
        assert "<b>.mp4" not in page
        assert not re.search(r"(src|href)=\"(?!data:)", page)
        data = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', page)
        assert data is not None
        table = base64.b64decode(data[1]).decode().splitlines()
        assert table[0] == "track,time," + ",".join(f"smoothed_{label}" for label in LABELS)
        assert len(table) > 80

    def test_a_clip_that_could_not_be_read_has_a_page_too(self, tmp_path: Path) -> None:
        (tmp_path / "text.mp4").write_text("no video")
        results = list(
            Clip(
                EmotionRecognizer(), tmp_path / "text.mp4", Sampling(), report=tmp_path / "page.html"
            ).watch()
        )
        assert [r.error is not None for r in results] == [True]
        assert "not a video" in (tmp_path / "page.html").read_text(encoding="utf-8")

    @needs_chromium
    @pytest.mark.parametrize("width", [1280, 390])
    def test_in_a_browser(self, made: Path, width: int) -> None:
        with open_browser() as browser:
            page = browser.new_page(viewport={"width": width, "height": 900})
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on(
                "request", lambda r: said.append(r.url) if not r.url.startswith(("file:", "data:")) else None
            )
            page.goto((made / "page.html").as_uri())
            assert page.locator(".person").count() == page.locator(".timeline").count() == 4
            assert page.locator(".timeline:visible").count() == 1
            assert page.locator(".timeline:visible path").count() >= 7
            before = page.locator(".timeline text").all_text_contents()
            page.get_by_role("button", name="Zoom in").click()
            assert page.locator(".timeline text").all_text_contents() != before
            page.get_by_role("button", name="Show the whole clip").click()
            assert page.locator(".timeline text").all_text_contents() == before
            page.get_by_role("button", name="Switch between lines and bands").click()
            assert page.locator(".timeline:visible path[fill=none]").count() >= 14
            page.locator(".timeline:visible svg").first.hover(position={"x": 120, "y": 40})
            assert "%" in page.locator(".timeline:visible .read").inner_text()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.emulate_media(media="print")
            assert not page.locator(".controls:visible, video:visible").count()
        assert said == []

    @needs_chromium
    def test_the_clip_and_the_lines_are_in_step(self, made: Path) -> None:
        with open_browser() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
            page.goto((made / "page.html").as_uri())
            until(page, "document.querySelector('video').readyState >= 1")

            def at() -> float:
                until(page, "!document.querySelector('video').seeking")
                return float(page.evaluate("document.querySelector('video').currentTime"))

            lane = page.get_by_role("slider").first
            size = lane.bounding_box()
            lane.click(position={"x": size["width"] / 2, "y": 9})
            half = at()
            assert half == pytest.approx(3, abs=0.1)
            assert float(lane.get_attribute("aria-valuenow")) == pytest.approx(half, abs=0.05)
            for key, moved in (("ArrowRight", 0.08), ("Shift+ArrowLeft", -0.92), ("Home", -half)):
                page.keyboard.press(key)
                assert at() - half == pytest.approx(moved, abs=0.05), key
            first, last = (page.locator(".cursor").first.get_attribute("x1") for _ in "ab")
            assert first == last == "0"
            page.evaluate("document.querySelector('video').currentTime = 2")  # as by its own controls
            at()
            until(page, "document.querySelector('.range').textContent.startsWith('0:02.0')")
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 19, 25)"

    @needs_chromium
    def test_people_are_picked_named_and_saved(self, made: Path) -> None:
        with open_browser() as browser:
            page = browser.new_page()
            page.goto((made / "page.html").as_uri())
            second = page.locator(".person").nth(1)
            number = (
                second.locator("button").get_attribute("aria-label").removeprefix("Probabilities of Person ")
            )
            second.locator("button").click()
            assert page.locator(".timeline:visible strong").inner_text() == f"Person {number}"
            second.locator("input").fill('Ada "<i>", L.')
            assert page.locator(".timeline:visible strong").inner_text() == 'Ada "<i>", L.'
            with page.expect_download() as saved:
                page.get_by_role("button", name="Save names").click()
            assert saved.value.suggested_filename == "people.csv"
            rows = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text(encoding="utf-8"))))
            assert {row["clip"] for row in rows} == {"story <b>.mp4"}
            assert [row["person"] for row in rows if row["track"] == number] == ['Ada "<i>", L.']
            name = page.locator(".person").nth(1).locator("input")
            for _ in range(20):  # a browser under load may write its storage after it has read it anew
                page.reload()
                if name.input_value():
                    break
            assert name.input_value() == 'Ada "<i>", L.'

    @needs_chromium
    def test_without_the_clip(self, made: Path, tmp_path: Path) -> None:
        moved = tmp_path / "moved.html"
        moved.write_bytes((made / "page.html").read_bytes())
        with open_browser() as browser:
            page = browser.new_page()
            page.goto(moved.as_uri())
            page.locator(".note").wait_for()
            assert "cannot be played here" in page.locator(".note").inner_text()
            page.get_by_role("slider").first.press("End")
            assert page.locator(".range").first.inner_text().startswith("0:05.9")

    @pytest.mark.parametrize(
        "options, played",
        [
            ({}, "a%20%23.mp4"),
            ({"player": False}, None),
            ({"blur_faces": True}, None),
            ({"blur_faces": True, "annotated": "drawn.mp4"}, "drawn.mp4"),
        ],
    )
    def test_what_the_page_plays(self, options: dict[str, Any], played: str | None, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "a #.mp4", [scene((0, 100, 90))] * 3, fps=5)
        if "annotated" in options:
            options = options | {"annotated": tmp_path / options["annotated"]}
        for _ in Clip(EmotionRecognizer(), clip, Sampling(), report=tmp_path / "p.html", **options).watch():
            pass
        page = (tmp_path / "p.html").read_text(encoding="utf-8")
        data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])
        assert data["clip"] == played
        assert ("media-src" in page) == (played is not None)

    @needs_chromium
    def test_the_annotated_clip_plays_in_a_browser(self, made: Path) -> None:
        (made / "play.html").write_text('<video src="annotated.mp4" muted></video>')
        with open_browser() as browser:
            page = browser.new_page()
            page.goto((made / "play.html").as_uri())
            state = page.evaluate(
                """async () => {
                    const video = document.querySelector("video");
                    const ready = new Promise((done, fail) => {
                        video.onseeked = () => done([video.videoWidth, video.videoHeight, video.duration]);
                        video.onerror = () => fail(video.error.message);
                    });
                    video.currentTime = 2;
                    return await ready;
                }"""
            )
        assert state[:2] == [640, 360]
        assert state[2] == pytest.approx(6, abs=0.3)

    def test_html_in_labels_is_text(self, tmp_path: Path) -> None:
        labels = ("</script><script>alert(1)</script>", "b")
        record = ClipRecord(labels)
        prediction = Prediction(dict(zip(labels, (0.6, 0.4), strict=True)))
        for k in range(20):
            one = FaceEmotion(Face(Box(1, 1, 9, 9), 1.0), prediction, Quality(1.0), 1, prediction)
            record.add(FrameResult("a", 64, 48, (one,), frame=k, time=k / 25), pattern(48, 64))
        write_clip_report(record, tmp_path / "page.html", source="a.mp4", settings={})
        assert "<script>alert" not in (tmp_path / "page.html").read_text(encoding="utf-8")


class TestPlaces:
    def test_clips_are_found_in_folders(self, tmp_path: Path) -> None:
        for name in ("b.mp4", "a.MOV", "c.txt", "deep/d.webm", ".hidden.mp4"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        found = [p.relative_to(tmp_path).as_posix() for p in find_clips([tmp_path])]
        assert found == ["a.MOV", "b.mp4", "deep/d.webm"]

    def test_a_file_for_one_and_a_folder_for_many(self, tmp_path: Path) -> None:
        one, two = Path("x/a.mp4"), Path("y/A.mov")
        assert output_paths(tmp_path / "o.mp4", [one], ".mp4") == [tmp_path / "o.mp4"]
        many = output_paths(tmp_path / "out", [one, two], ".mp4", "-annotated")
        assert [p.name for p in many] == ["a-annotated.mp4", "A-2-annotated.mp4"]
        with pytest.raises(ValueError, match="folder"):
            output_paths(tmp_path / "o.mp4", [one, two], ".mp4")
        (tmp_path / "a.mp4").write_bytes(b"x")
        with pytest.raises(ValueError, match="the clip itself"):
            output_paths(tmp_path / "a.mp4", [tmp_path / "a.mp4"], ".mp4")
