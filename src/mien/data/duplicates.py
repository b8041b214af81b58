"""Images that occur more than once: pixel for pixel, or as another version of the same photograph."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2

Images = NDArray[np.uint8]
Ints = NDArray[np.int64]
Progress = Callable[[int, int], None]

# Both limits were chosen by looking at pairs of FER2013's pictures: see docs/how-to/audit.md.
_ALIKE = 0.88  # correlation of two thumbnails from which on a pair is looked at closely
_SAME = 0.75  # correlation of the details from which on it is one photograph
_THUMBNAIL = 16
_SHIFT = 4  # pixels that the details may be shifted against each other
_ROWS, _COLUMNS = 1024, 8192  # a block of correlations takes 32 MB
_PAIRS = 4096
_DETAILS = 8192  # pictures whose details are kept, 9 kB each


def digests(images: Images, salt: bytes = b"") -> NDArray[np.uint64]:
    """A number for every picture, (n,), that depends on its pixels alone: the first 8 bytes of their SHA-256."""
    found = (hashlib.sha256(salt + image.tobytes()).digest() for image in images)
    return np.array([int.from_bytes(digest[:8], "big") for digest in found], np.uint64)


def has_copy(images: Iterable[Images], others: Iterable[Images]) -> NDArray[np.bool_]:
    """Which images are among others, pixel for pixel.

    Args:
        images: n of (h, w) uint8: an array, or whatever else gives one after the other.
        others: as `images`.

    Returns:
        (n,) bool.
    """
    known = {_digest(image) for image in others}
    return np.fromiter((_digest(image) in known for image in images), np.bool_)


def has_version(images: Images, others: Images | JoinedImages) -> NDArray[np.bool_]:
    """Which images show a photograph that is among others: the same pixels, or a version as in `near_groups`.

    Args:
        images: (n, h, w) uint8, h and w 16 or more.
        others: (m, h, w) uint8.

    Returns:
        (n,) bool.
    """
    found = np.zeros(len(images), np.bool_)
    if not len(images) or not len(others):
        return found
    small, large = _thumbnails(images), _thumbnails(others)
    rows = _normalized(small)
    for start in range(0, len(others), _COLUMNS):
        block = large[start : start + _COLUMNS]
        for columns, mirrored in ((_normalized(block), False), (_normalized(block[:, :, ::-1]), True)):
            pairs = np.argwhere(rows @ columns.T >= _ALIKE)
            for place, other in pairs.tolist():
                if not found[place]:
                    details = _details(images[place]), _details(others[start + other])
                    found[place] = _same(*details, mirrored)
    return found


class JoinedImages:
    """Images of several arrays one after the other, without a copy of them all.

    Args:
        parts: each (n, h, w) uint8.
    """

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)]).tolist()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __iter__(self) -> Iterator[Images]:
        return itertools.chain.from_iterable(self._parts)

    def __getitem__(self, place: int) -> Images:
        part = bisect_right(self._starts, place) - 1
        return np.asarray(self._parts[part][place - self._starts[part]])


def exact_groups(images: Images | JoinedImages) -> list[Ints]:
    """The groups of images that are equal pixel for pixel.

    Args:
        images: (n, h, w) uint8.

    Returns:
        The places of the images of each group, two or more, in order; groups in the order of their first.
    """
    places: dict[bytes, list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(_digest(image), []).append(place)
    return [np.array(group, np.int64) for group in places.values() if len(group) > 1]


def _digest(image: Images) -> bytes:
    """The identity of an image, in 16 bytes: pixels of images in a file might not fit into memory."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def near_groups(images: Images | JoinedImages, *, progress: Progress | None = None) -> list[Ints]:
    """The groups of images that show one photograph in versions that differ.

    Two images are versions of one photograph when their 16x16 thumbnails correlate (0.88 or more), and their
    details, between 0.7 and 2 pixels fine, do so too (0.75) at the best shift of up to 4 pixels. Neither
    brightness nor contrast counts; the mirrored image counts as a version, a much larger or smaller crop does
    not. An image belongs to a group when it is a version of any image of it.

    Args:
        images: (n, h, w) uint8, h and w 16 or more. Constant ones have no versions.
        progress: called with (done, total) images.

    Returns:
        The places of the images of each group, in order; groups in the order of their first. A group has two
        different images or more, and all exact copies of them.

    Raises:
        ValueError: the images are smaller than that.
    """
    if len(images) == 0:
        return []
    if images[0].ndim != 2 or min(images[0].shape) < _THUMBNAIL:
        raise ValueError(f"images of shape {images[0].shape}: expected (h, w), {_THUMBNAIL} or more each")
    first_of: dict[bytes, int] = {}
    origin = np.array([first_of.setdefault(_digest(image), i) for i, image in enumerate(images)])
    distinct = np.unique(origin)
    group_of = np.arange(len(images))
    group_of[distinct] = distinct[_components(images, distinct, progress or (lambda done, total: None))]
    group_of = group_of[origin]
    groups: dict[int, list[int]] = {}
    for place, group in enumerate(group_of.tolist()):
        groups.setdefault(group, []).append(place)
    return [np.array(group, np.int64) for group in groups.values() if len(set(origin[group].tolist())) > 1]


def _components(images: Images | JoinedImages, places: Ints, progress: Progress) -> Ints:
    """Of the images at so many places, the lowest number among the versions of each, directly or over others: (n,)."""
    roots = np.arange(len(places))

    @lru_cache(_DETAILS)
    def details(number: int) -> NDArray[np.float32]:
        return _details(images[int(places[number])])

    for done, left, right, mirrored in _alike(_thumbnails(images[int(place)] for place in places)):
        for start in range(0, len(left), _PAIRS):
            # In a large group most pairs are known to belong together: frames of a clip have millions.
            _flatten(roots)
            chunk = slice(start, start + _PAIRS)
            open_pairs = np.flatnonzero(roots[left[chunk]] != roots[right[chunk]]) + start
            for a, b in zip(left[open_pairs].tolist(), right[open_pairs].tolist(), strict=True):
                root_a, root_b = _root(roots, a), _root(roots, b)
                if root_a != root_b and _same(details(a), details(b), mirrored):
                    roots[max(root_a, root_b)] = min(root_a, root_b)
        progress(done, len(places))
    _flatten(roots)
    return roots


def _flatten(roots: Ints) -> None:
    """Let every place point to the root of its group at once."""
    while (roots != roots[roots]).any():
        roots[:] = roots[roots]


def _root(roots: Ints, place: int) -> int:
    while roots[place] != place:
        roots[place] = roots[roots[place]]
        place = int(roots[place])
    return place


def _alike(small: Images) -> Iterator[tuple[int, Ints, Ints, bool]]:
    """Pairs of thumbnails that are alike, by blocks: how many are done, numbers, numbers, whether mirrored."""
    for top in range(0, len(small), _ROWS):
        rows = _normalized(small[top : top + _ROWS])
        for start in range(top, len(small), _COLUMNS):
            block = small[start : start + _COLUMNS]
            for others, mirrored in ((block, False), (block[:, :, ::-1], True)):
                # Both mirrored are alike as both plain: the upper triangle is enough.
                left, right = np.nonzero(rows @ _normalized(others).T >= _ALIKE)
                left, right = left + top, right + start
                yield top + len(rows), left[left < right], right[left < right], mirrored


def _thumbnails(images: Iterable[Images]) -> Images:
    side = (_THUMBNAIL, _THUMBNAIL)
    return np.stack([cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in images])


def _normalized(thumbnails: Images) -> NDArray[np.float32]:
    """Rows whose products are correlations; a constant image becomes zeros."""
    rows = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)


def _details(image: Images) -> NDArray[np.float32]:
    pixels = image.astype(np.float32)
    fine = cv2.GaussianBlur(pixels, (0, 0), 0.7) - cv2.GaussianBlur(pixels, (0, 0), 2)
    return np.asarray(fine, np.float32)


def _same(a: NDArray[np.float32], b: NDArray[np.float32], mirrored: bool) -> bool:
    if mirrored:
        b = np.ascontiguousarray(b[:, ::-1])
    middle = np.ascontiguousarray(a[_SHIFT:-_SHIFT, _SHIFT:-_SHIFT])
    return bool(cv2.matchTemplate(b, middle, cv2.TM_CCOEFF_NORMED).max() >= _SAME)
