"""Hidden faces: nothing of a face is left that a detector or a person could go by."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from clips import play, scene, write_clip
from pictures import ASTRONAUT_FACE, GRACE_HOPPER_FACE, astronaut, encode, grace_hopper, grace_hopper_path
from test_mien_detector import but_medals
from typed import run

from mien.faces.anonymize import CELLS, HOLD, FaceAnonymizer, anonymize_faces
from mien.faces.detector import FaceDetector, search_to_anonymize
from mien.images.read import read_image
from mien.output.html import Report
from mien.output.image_files import PictureFiles
from mien.results import Box, Face, FrameResult


def colours(picture: np.ndarray, box: Box) -> int:
    part = picture[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]
    return len(np.unique(part.reshape(-1, 3), axis=0))


class TestHideFaces:
    @pytest.mark.parametrize(
        ("picture", "face"), [(astronaut(), ASTRONAUT_FACE), (grace_hopper(), GRACE_HOPPER_FACE)]
    )
    @pytest.mark.parametrize("detector", ["haar", "mien"])
    def test_no_detector_finds_a_face_anymore(self, picture: np.ndarray, face: Box, detector: str) -> None:
        before = picture.copy()
        hidden = anonymize_faces(picture, [face])
        assert FaceDetector(detector).detect(picture)
        assert FaceDetector(detector).detect(hidden) == []
        assert colours(hidden, face) <= CELLS[0] * CELLS[1]
        assert (picture == before).all(), "the picture itself is left as it is"

    def test_the_rest_of_the_picture_stays(self) -> None:
        picture = astronaut()
        hidden = anonymize_faces(picture, [ASTRONAUT_FACE])
        assert (hidden[260:] == picture[260:]).all()
        assert (hidden != picture).any(axis=2)[62:172, 172:276].mean() > 0.9

    def test_boxes_at_the_border_and_outside(self) -> None:
        picture = grace_hopper()
        hidden = anonymize_faces(
            picture, [Box(-50, -50, 40, 40), Box(480, 570, 600, 700), Box(900, 0, 950, 50)]
        )
        assert colours(hidden, Box(0, 0, 60, 60)) <= CELLS[0] * CELLS[1]
        assert (hidden[200:400, 100:400] == picture[200:400, 100:400]).all()

    def test_many_boxes_of_one_head_do_not_make_the_mosaic_finer(self) -> None:
        face = ASTRONAUT_FACE
        moved = [Box(face.x1 + k, face.y1 + k, face.x2 + 2 * k, face.y2 + k) for k in range(0, 20, 3)]
        small = Box(face.x1 + 30, face.y1 + 30, face.x2 - 30, face.y2 - 30)
        hidden = anonymize_faces(astronaut(), [small, *moved, small])
        assert colours(hidden, face) <= CELLS[0] * CELLS[1]

    def test_heads_beside_each_other_have_a_mosaic_each(self) -> None:
        picture = astronaut()
        hidden = anonymize_faces(picture, [Box(100, 100, 140, 150), Box(300, 100, 340, 150)])
        assert (hidden[:, 200:280] == picture[:, 200:280]).all()
        assert (hidden != picture).any(axis=2)[100:150, 300:340].any()


class TestFaceHider:
    def test_what_the_results_detector_missed_is_hidden_too(self) -> None:
        hidden = FaceAnonymizer(search_to_anonymize()).hide(astronaut(), FrameResult("a"))
        assert colours(hidden, ASTRONAUT_FACE) <= CELLS[0] * CELLS[1]

    def test_a_place_stays_hidden_for_a_moment_in_a_clip(self) -> None:
        seen = [[Face(Box(20, 20, 40, 40), 0.9)], [], [], []]
        hider = FaceAnonymizer(lambda picture: seen.pop(0))
        picture = astronaut()[:200, 150:300]
        place, results = Box(20, 20, 40, 40), []
        for time in (0.0, HOLD, HOLD + 0.1, 2.0):
            results.append(colours(hider.hide(picture, FrameResult("a", time=time)), place))
        assert max(results[:2]) <= CELLS[0] * CELLS[1] < min(results[2:])

    def test_still_pictures_have_nothing_to_do_with_each_other(self) -> None:
        seen = [[Face(Box(20, 20, 40, 40), 0.9)], []]
        hider = FaceAnonymizer(lambda picture: seen.pop(0))
        picture = astronaut()[:200, 150:300]
        hider.hide(picture, FrameResult("a"))
        assert (hider.hide(picture, FrameResult("b")) == picture).all()

    def test_drawings_have_no_face(self, tmp_path: Path) -> None:
        hide = FaceAnonymizer(search_to_anonymize()).hide
        PictureFiles(tmp_path, hide=hide).draw(astronaut(), FrameResult("a.png"))
        assert FaceDetector("mien").detect(tmp_path / "a-annotated.png") == []


class TestReports:
    def test_without_thumbnails_only_captions_are_left(self, tmp_path: Path) -> None:
        for shown in (True, False):
            page = Report("Faces", thumbnails=shown)
            page.faces([astronaut()[:48, :48]], ["happy at 0:12"])
            page.groups([([astronaut()[:48, :48, 0]], ["a copy"])])
            page.write(tmp_path / "page.html")
            text = (tmp_path / "page.html").read_text(encoding="utf-8")
            assert ("data:image" in text.replace("img-src data:", "")) is shown
            assert "happy at 0:12" in text
            assert "a copy" in text


@pytest.mark.slow
class TestCommands:
    def test_image(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encode(astronaut()))
        done = run("image", tmp_path / "a.png", grace_hopper_path(), "--annotate", tmp_path / "out",
                   "--chart", tmp_path / "out", "--blur-faces", "--format", "csv", "--detector", "mien")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 3, "rows are as without"
        drawn = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert drawn == [
            "a-annotated.png", "a-face1.png", "grace_hopper-annotated.jpg", "grace_hopper-face1.png",
        ]  # fmt: skip
        for name in drawn[::2]:
            assert but_medals(FaceDetector("mien").detect(tmp_path / "out" / name)) == []
        for name in drawn[1::2]:
            chart = read_image(tmp_path / "out" / name)
            assert len(np.unique(chart.reshape(-1, 3), axis=0)) < 3000, "a mosaic, bars and letters"
        change = (read_image(tmp_path / "out" / "a-annotated.png") != astronaut()).any(axis=2)
        assert change[70:170, 180:270].mean() > 0.9
        assert change.mean() < 0.5, "most of the rest stays"

    def test_video(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "a.mp4", [scene((0, 200 + 2 * k, 90)) for k in range(20)], sound="aac")
        options = ("--annotate", tmp_path / "out.mp4", "--report", tmp_path / "page.html", "--format", "csv")
        for hidden in (False, True):
            done = run("video", clip, *options, *(["--blur-faces", "--no-thumbnails"] if hidden else []))
            assert done.returncode == 0, done.stderr
            found = [bool(FaceDetector("mien").detect(picture)) for picture in play(tmp_path / "out.mp4")[1]]
            text = (tmp_path / "page.html").read_text(encoding="utf-8")
            with av.open(str(tmp_path / "out.mp4")) as container:
                assert bool(container.streams.audio) is not hidden, "a voice tells who it is, too"
            assert len(found) == 20
            assert any(found) is not hidden
            assert ("<img" in text) is not hidden

    @pytest.mark.parametrize(
        "arguments",
        [
            ("image", "a.jpg", "--blur-faces"),
            ("video", "a.mp4", "--blur-faces"),
            ("video", "a.mp4", "--no-thumbnails", "--annotate", "b.mp4"),
            ("evaluate", "a.csv", "--no-thumbnails"),
            ("audit", "a.csv", "--no-thumbnails"),
        ],
    )
    def test_what_would_hide_nothing_is_refused(self, arguments: tuple[str, ...]) -> None:
        done = run(*arguments)
        assert done.returncode == 2
        assert "changes what" in done.stderr
