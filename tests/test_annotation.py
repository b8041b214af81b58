from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

from mien.labels import LABELS
from mien.output.annotate import _area, _label_image, _render, annotate
from mien.output.palette import COLORS, DARK, LIGHT, LOOK, color_of, contrast, text_color_on
from mien.results import Box, Face, FaceEmotion, Prediction


def face(
    x: float, y: float, size: float, emotion: str = "happy", confidence: float = 0.97, uncertain: bool = False
):
    rest = (1 - confidence) / (len(LABELS) - 1)
    labels = dict.fromkeys((*LABELS, emotion), rest) | {emotion: confidence}
    return FaceEmotion(Face(Box(x, y, x + size, y + size), 0.9), Prediction(labels, uncertain))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plate_of(one: FaceEmotion, width: int, height: int) -> np.ndarray:
    area = _area(one.box, width, height)
    assert area is not None
    plate = _label_image(one, area, width, height)
    assert plate is not None
    return plate


def find(picture: np.ndarray, plate: np.ndarray) -> tuple[int, int, int, int] | None:
    """Where the whole plate lies in the picture, to the pixel."""
    difference = cv2.matchTemplate(picture, plate, cv2.TM_SQDIFF)
    for y, x in np.argwhere(difference <= difference.min() + 1e-3 * plate.size):
        if np.array_equal(picture[y : y + plate.shape[0], x : x + plate.shape[1]], plate):
            return int(x), int(y), int(x) + plate.shape[1], int(y) + plate.shape[0]
    return None


def test_annotate_returns_a_copy():
    image = noise(200, 300)
    before = image.copy()
    drawn = annotate(image, [face(100, 80, 80)])
    assert np.array_equal(image, before)
    assert not np.shares_memory(drawn, image)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert np.array_equal(annotate(image, []), image)


def test_only_the_box_and_its_label_change():
    image = noise(400, 600)
    one = face(200, 150, 120)
    drawn = annotate(image, [one])
    place = find(drawn, plate_of(one, 600, 400))
    assert place is not None
    assert place[:2] == (200, 150 - (place[3] - place[1]))  # sits on the box, at its left
    allowed = np.zeros((400, 600), bool)
    allowed[place[1] : place[3], place[0] : place[2]] = True
    allowed[150:270, 200:320] = True
    allowed[158:262, 208:312] = False  # the face itself stays visible
    changed = (drawn != image).any(axis=2)
    assert not changed[~allowed].any()
    for strip in (changed[150:270, 200], changed[150:270, 319], changed[150, 200:320], changed[269, 200:320]):
        assert strip.mean() > 0.98  # noise has a dark pixel of the line's own colour now and then


@pytest.mark.parametrize(
    ("x", "y"), [(x, y) for x in (-20, 0, 200, 500, 530) for y in (-20, 0, 150, 300, 330)]
)
def test_the_label_lies_wholly_inside_the_picture(x: int, y: int):
    one = face(x, y, 100, "surprise", 1.0)
    assert find(annotate(noise(400, 600), [one]), plate_of(one, 600, 400)) is not None


def test_a_face_that_fills_the_picture_has_its_label_inside():
    one = face(-5, -5, 310)
    place = find(annotate(noise(300, 300), [one]), plate_of(one, 300, 300))
    assert place is not None and place[1] == 0


@pytest.mark.parametrize("emotion", LABELS)
@pytest.mark.parametrize("level", [0, 60, 128, 190, 255])
def test_a_box_stands_out_on_any_background(emotion: str, level: int):
    for background in ((level, level, level), COLORS[emotion]):
        image = np.full((200, 200, 3), background, np.uint8)
        line = annotate(image, [face(50, 80, 100, emotion)])[180 - 8 : 180, 100]
        assert max(contrast(tuple(map(int, pixel)), background) for pixel in line) >= 4.5


def test_text_contrasts_with_every_plate():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)  # WCAG's own example
    for color in COLORS.values():
        assert contrast(text_color_on(color), color) >= 4.5
    assert text_color_on((255, 255, 255)) == DARK and text_color_on((0, 0, 0)) == LIGHT


def test_colours_stay_apart_for_every_kind_of_colour_vision():
    color = pytest.importorskip("skimage.color")
    # Machado, Oliveira and Fernandes (2009), full severity: linear RGB as a dichromat sees it.
    kinds = {
        "normal": np.eye(3),
        "protan": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
        "deutan": [[0.3673, 0.8607, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
        "tritan": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9309, 0.1476], [0.0047, 0.6914, 0.3039]],
    }
    srgb = np.array(list(COLORS.values())) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    for kind, matrix in kinds.items():
        seen = np.clip(linear @ np.array(matrix).T, 0, 1)
        seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
        lab = color.rgb2lab(seen[None])[0]
        closest = min(color.deltaE_ciede2000(a, b) for a, b in combinations(lab, 2))
        assert closest > 10, kind


def test_each_label_has_one_colour():
    assert list(COLORS) == list(LABELS)
    assert len(set(COLORS.values())) == 7
    assert color_of("contempt") == color_of("contempt") != color_of("bored")
    assert color_of("радость") in COLORS.values()


def test_labels_of_neighbours_do_not_hide_each_other():
    emotions = [LABELS[i % 7] for i in range(5)]
    row = [face(30 + 62 * i, 100, 60, emotion, 0.5 + 0.01 * i) for i, emotion in enumerate(emotions)]
    drawn = annotate(noise(300, 400), row)
    assert all(find(drawn, plate_of(one, 400, 300)) is not None for one in row)


@pytest.mark.slow
def test_thirty_faces_have_thirty_whole_labels():
    rng = np.random.default_rng(0)
    crowd = [
        face(10 + 145 * (i % 6) + rng.integers(25), 40 + 110 * (i // 6), 55, LABELS[i % 7], (40 + i) / 100)
        for i in range(30)
    ]
    drawn = annotate(noise(600, 900), crowd)
    places = [find(drawn, plate_of(one, 900, 600)) for one in crowd]
    assert None not in places
    assert len(set(places)) == 30


def test_a_label_keeps_off_the_face_above():
    upper, lower = face(100, 100, 80), face(100, 182, 80, "sad")
    image = noise(400, 400)
    drawn = annotate(image, [upper, lower])
    assert np.array_equal(drawn[106:174, 106:174], image[106:174, 106:174])


def test_lines_and_text_scale_with_picture_and_face():
    small = plate_of(face(8, 20, 40), 64, 64)
    portrait = plate_of(face(160, 90, 200), 512, 600)
    large = plate_of(face(2000, 1500, 900), 6000, 4000)
    distant = plate_of(face(2000, 1500, 100), 6000, 4000)
    assert 10 <= small.shape[0] <= 26
    assert portrait.shape[0] >= 20
    assert 100 <= distant.shape[0] < large.shape[0] <= 300
    grey = np.full((4000, 6000, 3), 128, np.uint8)
    profile = annotate(grey, [face(2000, 1500, 900)])[1950, 2000:2100]
    assert 15 <= (profile != 128).any(axis=1).sum() <= 60


def test_a_picture_of_64_pixels_has_the_whole_label():
    one = face(8, 8, 48, "surprise", 0.97)
    plate = plate_of(one, 64, 64)
    assert find(annotate(noise(64, 64), [one]), plate) is not None
    assert (
        plate.shape[0] > 1.5 * _render("surprise", 8, COLORS["surprise"]).shape[0]
    )  # percent on a second line


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 30])
def test_a_picture_too_small_for_text_has_its_box(size: int):
    image = np.full((size, size, 3), 128, np.uint8)
    drawn = annotate(image, [face(0, 0, size)])
    assert (drawn[0] == DARK).all()


def test_uncertain_is_marked():
    sure, unsure = face(50, 60, 100), face(50, 60, 100, uncertain=True)
    wider = plate_of(unsure, 300, 300).shape[1] - plate_of(sure, 300, 300).shape[1]
    assert wider > 0
    assert find(annotate(noise(300, 300), [unsure]), _render("happy? 97 %", 14, COLORS["happy"])) is not None


@pytest.mark.parametrize("word", ["Ärger", "гнев", "θυμός", "wściekły"])
def test_labels_in_other_scripts_have_letters(word: str):
    missing = _render("\uffff" * len(word), 20, LIGHT)
    drawn = _render(word, 20, LIGHT)
    assert drawn.shape != missing.shape or not np.array_equal(drawn, missing)
    letters = [_render(letter, 20, LIGHT) for letter in word]
    assert not any(np.array_equal(letter, _render("\uffff", 20, LIGHT)) for letter in letters)


def test_what_lies_outside_is_not_drawn():
    image = noise(100, 100)
    outside = [face(100, 20, 50), face(20, -60, 50), face(-50, -50, 50), face(20.1, 20.1, 0.1)]
    assert np.array_equal(annotate(image, outside), image)


def test_views_and_read_only_arrays_are_welcome():
    image = noise(200, 200)
    image.setflags(write=False)
    assert np.array_equal(
        annotate(image[:, ::-1], [face(50, 60, 80)]), annotate(image[:, ::-1].copy(), [face(50, 60, 80)])
    )


def test_a_portrait():
    with get_sample_data("grace_hopper.jpg") as file:
        image = np.array(Image.open(file).convert("RGB"))
    one = face(160, 90, 200)
    drawn = annotate(image, [one])
    height, width = image.shape[:2]
    assert find(drawn, plate_of(one, width, height)) is not None
    assert 0.01 < (drawn != image).any(axis=2).mean() < 0.05


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((9, 9, 3)), TypeError, "float64: expected a numpy array of uint8"),
        ([[0]], TypeError, "image of list"),
        (np.zeros((9, 9), np.uint8), ValueError, r"\(9, 9\): expected \(height, width, 3\)"),
        (np.zeros((9, 9, 4), np.uint8), ValueError, r"\(9, 9, 4\): expected"),
    ],
)
def test_wrong_arguments(image: np.ndarray, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        annotate(image, [])


def test_drawing_does_not_import_matplotlib():
    program = (
        "import sys, numpy as np; from mien.output.annotate import annotate\n"
        "from mien.results import Box, Face, FaceEmotion, Prediction\n"
        "one = FaceEmotion(Face(Box(20, 40, 80, 90), 1.0), Prediction({'happy': 1.0}))\n"
        "drawn = annotate(np.zeros((100, 100, 3), np.uint8), [one])\n"
        "sys.exit('matplotlib' in sys.modules or not drawn.any())"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_one_file_of_colours() -> None:
    look = LOOK.read_text(encoding="utf-8")
    for label, color in COLORS.items():
        assert f"--{label}: #{bytes(color).hex()};" in look
        for ground in ("#ffffff", "#f4f3f0", "#1b1d26", "#121319"):
            assert ground in look
            assert contrast(color, tuple(bytes.fromhex(ground[1:]))) >= 3
    site = Path(__file__).parents[1] / "docs" / "site.css"
    used = set(re.findall(r"#[0-9a-f]{6}", site.read_text(encoding="utf-8")))
    assert used and used <= set(re.findall(r"#[0-9a-f]{6}", look))


def test_labels_that_are_kept_for_the_next_frame_are_the_same_there():
    one = face(100, 80, 80)
    first = annotate(noise(200, 300), [one])
    plate = plate_of(one, 300, 200)
    assert not plate.flags.writeable  # else whoever has one could change those of later frames
    assert np.array_equal(annotate(noise(200, 300), [one]), first)
