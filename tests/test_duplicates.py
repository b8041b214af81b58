"""Images that occur more than once, on made-up photographs whose copies and versions are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import photographs as photo
import pytest

from mien.data.duplicates import JoinedImages, exact_groups, has_copy, has_version, near_groups

PHOTOS = photo.photographs(40)


def lists(groups: list[np.ndarray]) -> list[list[int]]:
    return [group.tolist() for group in groups]


def test_has_copy_tells_the_images_that_are_among_others() -> None:
    assert has_copy(PHOTOS[:4], PHOTOS[2:9]).tolist() == [False, False, True, True]


def test_has_version_tells_the_photographs_that_are_among_others() -> None:
    images = PHOTOS[:6]
    versions = [images[0], photo.brighter(images[1]), photo.mirrored(images[2]), photo.shifted(images[3])]
    others = np.stack([*versions, *PHOTOS[10:]])
    assert has_version(images, others).tolist() == [True, True, True, True, False, False]
    assert has_version(images[:0], others).shape == (0,)
    assert not has_version(images, others[:0]).any()


def test_exact_groups_hold_every_copy_and_nothing_else() -> None:
    almost = PHOTOS[1].copy()
    almost[0, 0] ^= 1
    images = np.stack([PHOTOS[0], PHOTOS[1], PHOTOS[2], PHOTOS[1], almost, PHOTOS[0], PHOTOS[1]])
    assert lists(exact_groups(images)) == [[0, 5], [1, 3, 6]]
    assert exact_groups(PHOTOS) == []
    assert exact_groups(PHOTOS[:0]) == []


@pytest.mark.parametrize(
    "version", [photo.brighter, photo.shifted, photo.compressed, photo.mirrored, photo.marked]
)
def test_a_version_is_found_and_no_other_photograph_is_taken_for_one(
    version: Callable[[np.ndarray], np.ndarray],
) -> None:
    images = np.concatenate([PHOTOS, [version(image) for image in PHOTOS[:5]]])
    assert lists(near_groups(images)) == [[i, 40 + i] for i in range(5)]


def test_identical_copies_alone_are_no_versions() -> None:
    assert near_groups(np.concatenate([PHOTOS, PHOTOS])) == []


def test_a_group_holds_the_copies_of_its_images_and_the_versions_of_versions() -> None:
    once, twice = photo.shifted(PHOTOS[3], 2), photo.brighter(photo.shifted(PHOTOS[3], 4))
    images = np.stack([PHOTOS[3], PHOTOS[0], once, PHOTOS[3], twice, PHOTOS[1]])
    assert lists(near_groups(images)) == [[0, 2, 3, 4]]


def test_images_of_one_grey_have_no_versions() -> None:
    greys = np.repeat(np.arange(5, dtype=np.uint8), 48 * 48).reshape(5, 48, 48)
    assert near_groups(greys) == []


def test_versions_are_found_across_blocks_and_progress_ends_at_the_number_of_images() -> None:
    images = photo.photographs(1100, seed=1)
    images[1090] = photo.brighter(images[3])
    images[1095] = photo.mirrored(images[1050])
    seen: list[tuple[int, int]] = []
    groups = near_groups(images, progress=lambda done, total: seen.append((done, total)))
    assert lists(groups) == [[3, 1090], [1050, 1095]]
    assert seen[-1] == (1100, 1100)
    assert seen == sorted(seen)


def test_no_images_have_no_groups_and_tiny_ones_are_refused() -> None:
    assert near_groups(PHOTOS[:0]) == []
    with pytest.raises(ValueError, match=r"\(8, 8\): expected"):
        near_groups(np.zeros((3, 8, 8), np.uint8))


def test_arrays_one_after_the_other_are_as_one(tmp_path: Path) -> None:
    """Among them one in a file, which need not be copied into memory."""
    file = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=PHOTOS[:2].shape)
    file[:] = PHOTOS[:2]
    parts = [PHOTOS[:1], file, PHOTOS[1:]]
    joined, whole = JoinedImages(parts), np.concatenate(parts)
    assert len(joined) == len(whole)
    for place in range(len(whole)):
        np.testing.assert_array_equal(joined[place], whole[place])
    for find in (exact_groups, near_groups):
        assert [group.tolist() for group in find(joined)] == [group.tolist() for group in find(whole)]
    assert exact_groups(joined)
