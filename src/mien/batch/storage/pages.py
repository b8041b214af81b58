"""Listings of an object store in pages, flat: a request for a thousand names, whatever folders they seem to be in.

fsspec's own listings hold all names in memory, and ask once for every folder. s3fs lets its client be called, which
takes the name to begin behind; so a page needs nothing of the page before, and several threads can each list a range of
names. Other stores have no such call in fsspec: they are listed folder by folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mien.batch.file_systems import url_of
from mien.batch.storage.faults import retried

_MOST_PAGES = 20  # of the first folders, from which bounds are chosen


def has_pages(system: Any) -> bool:
    """Whether a file system's listings can be had in pages."""
    return hasattr(system, "call_s3")


def files_in_pages(system: Any, folder: str, since: str = "", *, whole: bool = True) -> Iterator[str]:
    """The paths of all files below a folder, in order of their UTF-8 bytes.

    Args:
        system: one that `has_pages`.
        folder: its path there.
        since: the URL from behind which on; "" for all.
        whole: False to begin with the file of that name itself.

    Raises:
        StoreError, FileNotFoundError: as in `retried`.
    """
    bucket, prefix = _split(system, folder)
    after = since.removeprefix(url_of(system, bucket).rstrip("/") + "/")
    # A name behind which nothing can be but the name itself.
    after = after if whole or not after else after[:-1] + chr(ord(after[-1]) - 1) + chr(0x10FFFF)
    for page in _pages(system, bucket, prefix, after):
        for item in page.get("Contents", []):
            yield f"{bucket}/{item['Key']}"


def boundaries(system: Any, folder: str, most: int) -> list[str]:
    """Paths that cut a folder into at most so many ranges: some of the folders directly in it, in order."""
    bucket, prefix = _split(system, folder)
    found: list[str] = []
    for number, page in enumerate(_pages(system, bucket, prefix, "", Delimiter="/")):
        found += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
        if number + 1 == _MOST_PAGES:
            break
    ranges = min(most, len(found))
    return [f"{bucket}/{found[len(found) * place // ranges]}" for place in range(1, ranges)]


def _pages(system: Any, bucket: str, prefix: str, after: str, **how: str) -> Iterator[dict[str, Any]]:
    where = f"{url_of(system, bucket)}/{prefix}"
    while True:
        asked = {"Bucket": bucket, "Prefix": prefix, **how} | ({"StartAfter": after} if after else {})
        page: dict[str, Any] = retried(lambda: system.call_s3("list_objects_v2", **asked), where)  # noqa: B023
        yield page
        if not page.get("IsTruncated"):
            return
        names = [item["Key"] for item in page.get("Contents", [])]
        folders = [item["Prefix"] for item in page.get("CommonPrefixes", [])]
        after = max(names + folders)


def _split(system: Any, folder: str) -> tuple[str, str]:
    bucket, key, _ = system.split_path(folder)
    return bucket, f"{key.rstrip('/')}/" if key else ""
