"""Pictures in: every form is read alike, every broken one is refused on one line; the crop keeps its shape."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import (
    encode,
    grace_hopper,
    grace_hopper_path,
    pattern,
    png_bomb,
    rotated_jpeg,
    write_bad_files,
    write_odd_files,
)
from PIL import Image

from mien.errors import ImageError
from mien.images.crop import crop_face, to_crop
from mien.images.find import find_images
from mien.images.read import MAX_PIXELS, read_image
from mien.results import Box


def same(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """The mean difference lies within the tolerance, in grey levels."""
    return a.shape == b.shape and float(np.abs(a.astype(int) - b.astype(int)).mean()) <= tolerance


def grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(Image.fromarray(image).convert("L"))[..., None], 3, axis=2)


COLOUR = {
    "plain.png": 0, "plain.bmp": 0, "plain.jpg": 2, "progressive.jpg": 2, "cmyk.jpg": 3, "palette.png": 8,
    "alpha.png": 0, "plain.webp": 0, "plain.ppm": 0, "animated.gif": 8, "animated.png": 0,
}  # fmt: skip


def test_every_odd_file_is_read_as_the_picture_it_shows(tmp_path: Path) -> None:
    for name, path in write_odd_files(tmp_path).items():
        image = read_image(path)
        assert image.dtype == np.uint8, name
        if name == "one_pixel.png":
            assert image.tolist() == [[[7, 7, 7]]]
        elif name == "one_bit.png":
            assert same(image, grey(pattern()), 128)
            assert set(np.unique(image)) == {0, 255}
        elif name in COLOUR:
            assert same(image, pattern(), COLOUR[name]), name
        else:
            assert same(image, grey(pattern()), 0), name


@pytest.mark.parametrize("name", ["plain.png", "cmyk.jpg", "grey16.tif"])
def test_path_text_bytes_and_pillow_give_the_same_picture(tmp_path: Path, name: str) -> None:
    path = write_odd_files(tmp_path)[name]
    image = read_image(path)
    with Image.open(path) as picture:
        for source in (str(path), path.read_bytes(), picture):
            assert np.array_equal(read_image(source), image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    assert same(read_image(rotated_jpeg(orientation)), pattern(), 2)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(orientation: int) -> None:
    assert same(read_image(rotated_jpeg(orientation)), pattern(), 2)


def test_transparency_lies_over_white() -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    rgba[0, 1] = (10, 20, 30, 0)
    rgba[1, 0] = (0, 0, 0, 128)
    expected = [[[10, 20, 30], [255, 255, 255]], [[127, 127, 127], [255, 255, 255]]]
    assert read_image(rgba).tolist() == expected
    assert read_image(encode(rgba)).tolist() == expected
    palette = Image.fromarray(rgba[..., :3]).quantize(8)
    transparent = encode(palette, transparency=palette.getpixel((0, 0)))
    assert read_image(transparent)[0, 0].tolist() == [255, 255, 255]


def test_16_bit_is_scaled_by_its_whole_range() -> None:
    values = np.array([[0, 128, 129, 256, 32768, 65535]], np.uint16)
    image = read_image(encode(Image.fromarray(values)))
    assert image[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_bad_files_fail_on_one_line_that_names_them(tmp_path: Path) -> None:
    for name, path in write_bad_files(tmp_path).items():
        with pytest.raises(ImageError) as caught:
            read_image(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: "), name
        assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.jpg", "not a picture"),
        ("truncated.jpg", "truncated"),
        ("empty.png", "empty"),
        ("bomb.png", "too many pixels"),
        ("float.tif", "floating-point"),
        ("drawing.eps", "of type EPS"),
        ("no pictures", "a folder without pictures"),
        ("missing.jpg", "no such file"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_image(write_bad_files(tmp_path)[name])


@pytest.mark.parametrize(
    ("size", "refused"),
    [
        ((30_000, 30_000), True),
        ((15_000, 14_001), True),
        ((1, MAX_PIXELS + 1), True),
        ((9_600, 9_600), False),
    ],
)
def test_size_is_checked_in_the_header_and_without_a_warning(size: tuple[int, int], refused: bool) -> None:
    # Within the limit the picture is decoded, and only then found broken.
    expected = "megapixels" if refused else "broken"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=expected):
            read_image(png_bomb(*size))


def test_the_size_of_a_pillow_image_is_checked_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_bomb(11_000, 11_000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = Image.open(path)
    with picture, pytest.raises(ImageError, match="megapixels"):
        read_image(picture, max_pixels=100_000_000)


def test_what_telephones_make_is_within_the_limit_and_pillows_own_is_left_as_it_is() -> None:
    """200 megapixels: more than Pillow opens by itself. The header alone is whole here."""
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(png_bomb(16_320, 12_240)))
    with pytest.raises(ImageError, match="broken"):
        read_image(png_bomb(16_320, 12_240))
    assert limit == Image.MAX_IMAGE_PIXELS


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.images.read.MAX_BYTES", 1000)
    path = tmp_path / "noise.png"
    path.write_bytes(encode(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)))
    for source in (path, path.read_bytes()):
        with pytest.raises(ImageError, match="larger than"):
            read_image(source)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the file permissions of Unix")
@pytest.mark.parametrize("forbidden", ["file", "folder"])
def test_a_forbidden_file_or_folder_is_refused(tmp_path: Path, forbidden: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "secret.png"
    path.write_bytes(encode(pattern()))
    (path if forbidden == "file" else folder).chmod(0)
    root = os.geteuid() == 0
    if root:  # who may read everything
        os.seteuid(65534)
    try:
        for source in [path] if forbidden == "file" else [path, folder]:
            with pytest.raises(ImageError, match="permission denied"):
                read_image(source)
            assert find_images([source]) == [source]
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


@pytest.mark.parametrize("path", ["null\0byte.jpg", "x" * 5000 + ".jpg", "two\nlines.jpg", ""])
def test_impossible_paths_are_refused_on_one_line(path: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert find_images([path]) == [Path(path)] or path == ""


def test_a_broken_exif_block_does_no_harm() -> None:
    data = bytearray(rotated_jpeg(6))
    start = data.index(b"Exif") + 14
    data[start : start + 4] = b"\xff\xff\xff\xff"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(bytes(data)).shape[2] == 3


def test_a_small_bmp_of_many_pixels_takes_no_time_and_no_word(capfd: pytest.CaptureFixture[str]) -> None:
    """Its lines end before they begin; to fill one by one took minutes."""
    header = struct.pack("<IiiHHIIiiII", 40, 16_000_000, 7, 1, 8, 1, 4, 0, 0, 256, 0)
    data = b"BM" + struct.pack("<IHHI", 1082, 0, 0, 1078) + header + bytes(1024) + b"\0\0\0\0"
    start = time.process_time()
    with contextlib.suppress(ImageError):
        read_image(data)
    assert time.process_time() - start < 5
    with pytest.raises(ImageError, match="broken picture"):
        read_image(data[:-3])
    assert capfd.readouterr().err == ""


def test_pixels_are_whole_where_exif_is_broken() -> None:
    """A PNG's text "Raw profile type exif" may be anything."""
    from PIL.PngImagePlugin import PngInfo

    stream, text = io.BytesIO(), PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n   8\nthis is no hexadecimal")
    Image.fromarray(pattern(20, 30)).save(stream, "PNG", pnginfo=text)
    np.testing.assert_array_equal(read_image(stream.getvalue()), pattern(20, 30))


def test_damaged_files_never_raise_anything_else() -> None:
    """Single bytes changed at random, in every format."""
    rng = np.random.default_rng(0)
    for kind in ("jpeg", "png", "gif", "bmp", "tiff", "webp", "ppm"):
        whole = encode(pattern(), kind)
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 3):
                data[place] = rng.integers(0, 256)
            try:
                image = read_image(bytes(data))
            except ImageError as error:
                assert "\n" not in str(error)
            else:
                assert image.ndim == 3


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_arrays_of_every_shape_become_rgb(shape: tuple[int, ...]) -> None:
    array = np.full(shape, 200, np.uint8)
    array[..., -1] = 255
    image = read_image(array)
    assert image.shape == (5, 7, 3)
    assert image[0, 0, 0] == array.reshape(5, 7, -1)[0, 0, 0]


def test_an_rgb_array_is_not_copied_and_a_view_is_made_contiguous() -> None:
    array = pattern()
    assert read_image(array) is array
    mirrored = read_image(array[:, ::-1])
    assert mirrored.flags["C_CONTIGUOUS"]
    assert np.array_equal(mirrored, array[:, ::-1])


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), bool), [[0]], None, 3]
)
def test_other_types_are_type_errors_that_say_what_is_expected(array: object) -> None:
    with pytest.raises(TypeError, match="expected a"):
        read_image(array)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="uint8 array"):
        to_crop(array)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 5), (0, 4, 3), (2, 4, 4, 3), (0,)])
def test_other_shapes_are_value_errors(shape: tuple[int, ...]) -> None:
    for function in (read_image, to_crop):
        with pytest.raises(ValueError, match="expected"):
            function(np.zeros(shape, np.uint8))


def test_a_crop_of_the_right_size_is_left_alone() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    assert np.shares_memory(to_crop(crop), crop)
    assert np.array_equal(to_crop(crop), crop)
    assert np.array_equal(to_crop(crop[..., None]), crop)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300, 3), (300, 7), (48, 49, 3), (500, 400, 4), (96, 96, 1)])
def test_crops_of_any_size_are_resized(shape: tuple[int, ...]) -> None:
    crop = to_crop(np.full(shape, 255, np.uint8))
    assert crop.shape == (48, 48)
    assert crop.dtype == np.uint8
    assert (crop == 255).all()


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((480, 480), np.uint8)
    stripes[:, ::2] = 200
    assert (to_crop(stripes) == 100).all()


def test_colour_becomes_grey_by_luminance() -> None:
    for channel, value in enumerate((76, 150, 29)):  # 255 times 0.299, 0.587, 0.114
        image = np.zeros((10, 10, 3), np.uint8)
        image[..., channel] = 255
        assert (to_crop(image) == value).all()


def test_the_crop_is_the_square_around_the_box() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[30:60, 70:120] = 255
    assert (crop_face(image, Box(70, 30, 120, 60), margin=0.6) == 255).all()
    whole = crop_face(image, Box(70, 30, 120, 60), size=50)
    assert whole[10:40].min() == 255
    assert whole[:9].max() == 0
    assert whole[41:].max() == 0


def test_margin_widens_the_square() -> None:
    image = np.zeros((100, 100), np.uint8)
    image[40:60, 40:60] = 255
    share = [(crop_face(image, Box(40, 40, 60, 60), margin=m) > 127).mean() for m in (0.5, 1, 2)]
    assert share == [1, 1, pytest.approx(0.25, abs=0.02)]


@pytest.mark.parametrize(
    ("box", "value"), [(Box(-30, -30, 10, 10), 0), (Box(60, 20, 130, 90), 255), (Box(-20, 20, 10, 50), 0)]
)
def test_beyond_the_border_its_pixels_are_repeated(box: Box, value: int) -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 50:] = 255
    assert (crop_face(image, box) == value).all()


def test_a_crop_does_not_depend_on_what_lies_around_it() -> None:
    image = grace_hopper()
    box = Box(200.4, 100.7, 350.2, 260.1)
    assert np.array_equal(crop_face(image, box), crop_face(image[50:400], Box(200.4, 50.7, 350.2, 210.1)))
    expected = cv2.resize(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[101:260, 196:355], (48, 48), interpolation=cv2.INTER_AREA
    )
    assert same(crop_face(image, box), expected, 1.5)


def test_a_box_outside_and_a_margin_of_zero_are_value_errors() -> None:
    with pytest.raises(ValueError, match="outside the picture of 60 x 40"):
        crop_face(pattern(), Box(100, 0, 110, 10))
    for margin in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="margin"):
            crop_face(pattern(), Box(0, 0, 10, 10), margin=margin)


def test_tiny_boxes_give_a_crop() -> None:
    assert crop_face(pattern(), Box(3.2, 3.2, 3.4, 3.4)).shape == (48, 48)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_folders_are_searched_in_order_and_patterns_expanded(tmp_path: Path) -> None:
    b, a = touch(tmp_path / "B" / "b.JPG"), touch(tmp_path / "a.png")
    deep = touch(tmp_path / "c" / "d" / "e.webp")
    text = touch(tmp_path / "notes.txt")
    touch(tmp_path / "._a.png")
    touch(tmp_path / ".hidden" / "x.png")
    assert find_images([tmp_path]) == [b, a, deep]
    assert find_images([str(tmp_path / "*.png")]) == [a]
    assert find_images([tmp_path / "**" / "*.webp", a, tmp_path, a]) == [deep, a, b]
    assert find_images([tmp_path / "[cB]"]) == [b, deep]
    assert find_images([text]) == [text]
    assert find_images([]) == []


def test_an_existing_file_is_not_taken_for_a_pattern(tmp_path: Path) -> None:
    odd = touch(tmp_path / "face[1].png")
    touch(tmp_path / "face1.png")
    assert find_images([odd]) == [odd]


def test_bad_paths_stay_in_the_list_and_the_others_go_on(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(encode(pattern()))
    bad = [tmp_path / "missing.png", tmp_path / "none*.png", tmp_path / "empty folder"]
    bad[2].mkdir()
    paths = find_images([*bad, good])
    assert paths == [*bad, good]
    for path in bad:
        with pytest.raises(ImageError):
            read_image(path)
    assert read_image(good).shape == (40, 60, 3)


def test_a_folder_with_pictures_says_so() -> None:
    with pytest.raises(ImageError, match="expected one picture"):
        read_image(grace_hopper_path().parent)
