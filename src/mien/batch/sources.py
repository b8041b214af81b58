"""What a collection holds: pictures in folders, lists, tar and zip archives and Parquet files, here or behind a URL.

Names are listed lazily, in the order of their paths; only the worker of a picture reads its bytes. The order makes a
listing one that can begin anywhere: behind the last name that was kept, or at a bound up to which another thread lists.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import dropwhile, islice, takewhile
from typing import Any, TypeAlias

from mien._core.zips import ZIP_ERRORS, zip_reason
from mien.batch.archives import ARCHIVES, COMPRESSED, list_archive
from mien.batch.file_systems import file_system, is_local, is_remote, url_of
from mien.batch.storage.faults import carried_on, is_fault, retried
from mien.batch.storage.pages import boundaries, files_in_pages, has_pages
from mien.errors import MissingExtraError, SourceError
from mien.images.find import SUFFIXES

LISTS = (".txt", ".lst")

Place: TypeAlias = tuple[str, tuple[int, ...]]
"""Where an entry stands in the order: the path of its file or archive, and its key there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture of a collection.

    Attributes:
        name: its path or URL; that of an archive's member continues the archive's.
        container: the archive that holds it; "" for a plain file.
        key: its position there: offset and size (tar), number of the member (zip), row group and row (Parquet).
        folder: the first folder below the source, "" without one.
        error: why nothing of it can be read, where that is known from the listing; else "".
    """

    name: str
    container: str = ""
    key: tuple[int, ...] = ()
    folder: str = ""
    error: str = ""

    @property
    def place(self) -> Place:
        """What it is ordered by within its source."""
        return self.container or self.name.removesuffix("#"), self.key


@dataclass(frozen=True)
class Span:
    """A part of a source: the paths from `start` on, and before `stop` unless that is None."""

    start: str = ""
    stop: str | None = None


def list_entries(sources: Iterable[str]) -> Iterator[Entry]:
    """The pictures of all sources, one by one.

    Args:
        sources: files, folders (with all their folders), lists of such (.txt or .lst, one a line), archives (.tar,
            .zip, .parquet), glob patterns; each a path or a URL that fsspec knows (s3://, gs://, memory://).

    Raises:
        SourceError: a source is missing or unreadable, or has nothing to read.
        StoreError: an object store refuses, or does not answer.
    """
    for source in sources:
        empty = True
        for entry in list_span(source):
            empty = False
            yield entry
        if empty:
            raise nothing_there(source)


def list_span(source: str, span: Span = Span(), after: Place | None = None) -> Iterator[Entry]:
    """The pictures of a part of a source, in order, from behind a place on.

    A fault of an object store that passes is waited for, and the listing goes on behind the last entry.

    Args:
        source: as in `list_entries`.
        span: bounds; only for a source that `is_ordered`.
        after: the place of an entry; the same holds.

    Raises:
        SourceError: the source is missing or unreadable.
        StoreError: as in `list_entries`.
    """

    def begin(last: Entry | None) -> Iterator[Entry]:
        since = after if last is None else last.place
        if not ordered:
            again = _expand(source, span, None)
            return again if last is None else islice(dropwhile(lambda entry: entry != last, again), 1, None)
        begun = (entry for entry in _expand(source, span, since) if since is None or entry.place > since)
        return takewhile(lambda entry: span.stop is None or entry.place[0] < span.stop, begun)

    ordered = is_ordered(source)
    # A list that is here may name what is elsewhere.
    local = ordered and is_local(file_system(source)[0])
    yield from begin(None) if local else carried_on(begin, source)


def nothing_there(source: str) -> SourceError:
    """For a source without an entry."""
    return SourceError(f"{source}: no pictures there; expected files such as .jpg, or {', '.join(ARCHIVES)}")


def is_ordered(source: str) -> bool:
    """Whether a source's entries come in the order of their places, none twice; a list's come as its lines do."""
    return "**" not in source and not source.lower().endswith(LISTS)


def canonical(source: str) -> str:
    """A source's absolute path or URL, one for all ways to write it.

    Raises:
        SourceError, MissingExtraError: as in `file_system`.
    """
    system, path = file_system(source)
    return url_of(system, path.rstrip("/") or "/")


def spans_of(source: str, most: int) -> list[Span]:
    """Parts of a source that can be listed at the same time: at most so many, one where a listing has no pages."""
    system, path = file_system(source)
    if not has_pages(system) or not is_ordered(source):
        return [Span()]
    if retried(lambda: _is_glob(system, path) or not system.isdir(path), source):
        return [Span()]
    inner = [url_of(system, bound) for bound in boundaries(system, path, most)]
    return [Span(*pair) for pair in zip(["", *inner], [*inner, None], strict=True)]


def _is_glob(system: Any, path: str) -> bool:
    return any(sign in path for sign in "*?[") and not system.exists(path)


def _expand(source: str, span: Span, after: Place | None) -> Iterator[Entry]:
    system, path = file_system(source)
    try:
        if _is_glob(system, path):
            root = path.rstrip("/").rpartition("/")[0]
            found = system.glob(path, detail=True)
            for match in sorted(found, key=lambda name: _in_order(name, found[name]["type"] == "directory")):
                yield from _expand_path(system, match, root, after)
        elif path.lower().endswith(LISTS) and system.isfile(path):
            yield from _expand_list(system, path)
        elif has_pages(system) and system.isdir(path):
            since = max(span.start, "" if after is None else after[0])
            yield from _pages(system, path, since, span.stop, whole=after is None or not after[1])
        else:
            yield from _expand_path(system, path, path, after)
    except (OSError, ValueError, tarfile.TarError, *ZIP_ERRORS) as error:
        if not is_local(system) and is_fault(error):
            raise
        reason = getattr(error, "strerror", None) or zip_reason(error)
        raise SourceError(f"{source}: cannot be listed: {reason}") from error


def _expand_list(system: Any, path: str) -> Iterator[Entry]:
    """What the lines of a list name, relative to the list's own folder."""
    with system.open(path, "rt", encoding="utf-8") as lines:
        for line in map(str.strip, lines):
            if not line:
                continue
            if is_remote(line) and line.lower().endswith(tuple(SUFFIXES)):
                yield Entry(line)  # to ask for each would be a request a picture
            elif "://" in line:
                yield from _expand(line, Span(), None)
            else:
                target = posixpath.join(posixpath.dirname(path), line)
                yield from _expand_path(system, target, target, None, named=True)


def _expand_path(
    system: Any, path: str, root: str, after: Place | None, *, named: bool = False
) -> Iterator[Entry]:
    """A file's or a folder's pictures; a file that is `named` counts whatever its ending, and if it is missing."""
    if system.isdir(path):
        yield from _walk(system, path, root, after)
    elif path.lower().endswith((*ARCHIVES, *COMPRESSED)):
        yield from _members(system, path, root)
    elif named or path == root or path.lower().endswith(tuple(SUFFIXES)):
        if not named and not system.exists(path):
            raise FileNotFoundError("no such file or folder")
        yield Entry(url_of(system, path), folder=_folder(path, root))


def _members(system: Any, path: str, root: str) -> Iterator[Entry]:
    url, folder = url_of(system, path), _folder(path, root)
    for name, key in list_archive(system, path):
        yield Entry(f"{url}{name}", url, key, folder)


def _walk(system: Any, folder: str, root: str, after: Place | None) -> Iterator[Entry]:
    """Depth first, by path; one folder's names are held at a time. Hidden files and linked folders are left out."""
    url = url_of(system, folder)
    for path, is_folder in _list_folder(system, folder):
        name = posixpath.basename(path)
        if name.startswith("."):
            continue
        if is_folder:
            if after is None or not _is_before(f"{url.rstrip('/')}/{name}/", after[0]):
                yield from _walk(system, path, root, after)
        elif name.lower().endswith((*SUFFIXES, *ARCHIVES)):
            yield from _expand_or_say(system, path, root)


def _is_before(folder: str, path: str) -> bool:
    """Whether all of a folder comes before a path."""
    return folder < path and not path.startswith(folder)


def _pages(system: Any, folder: str, since: str, stop: str | None, *, whole: bool) -> Iterator[Entry]:
    """As `_walk`, without a request a folder; where `whole` is false, an archive at `since` is listed again."""
    root = url_of(system, folder).rstrip("/") + "/"
    for path in files_in_pages(system, folder, since, whole=whole):
        url = url_of(system, path)
        if stop is not None and url >= stop:
            return
        names = url.removeprefix(root).split("/")
        if names[-1] and not any(name.startswith(".") for name in names):
            if names[-1].lower().endswith(ARCHIVES):
                yield from _expand_or_say(system, path, folder)
            elif names[-1].lower().endswith(tuple(SUFFIXES)):
                yield Entry(url, folder=_folder(path, folder))


def _expand_or_say(system: Any, path: str, root: str) -> Iterator[Entry]:
    """What a folder holds of a name; one bad file or archive among others is an entry with its error."""
    try:
        if path.lower().endswith(ARCHIVES):
            yield from _members(system, path, root)
        else:
            yield Entry(url_of(system, path), folder=_folder(path, root))
    except MissingExtraError:
        raise
    except Exception as error:  # whatever a strange archive brings about
        if not is_local(system) and is_fault(error):
            raise
        url, reason = url_of(system, path), getattr(error, "strerror", None) or zip_reason(error)
        text = reason if reason.startswith(url) else f"{url}: cannot be read: {reason}"
        yield Entry(
            f"{url}#" if path.lower().endswith(ARCHIVES) else url, folder=_folder(path, root), error=text
        )


def _list_folder(system: Any, folder: str) -> list[tuple[str, bool]]:
    def ask() -> Any:
        return system.ls(folder, detail=True)

    listed = ask() if is_local(system) else retried(ask, url_of(system, folder))
    found = [
        (item["name"].rstrip("/"), item["type"] == "directory" and not item.get("islink", False))
        for item in listed
        if not (item["type"] == "directory" and item.get("islink", False))
    ]
    # Object stores may list the folder itself.
    return sorted(
        (pair for pair in found if pair[0] != folder.rstrip("/")), key=lambda pair: _in_order(*pair)
    )


def _in_order(path: str, is_folder: bool) -> str:
    """What sorts a folder's names as the whole paths below them sort."""
    return f"{path}/" if is_folder else path


def _folder(path: str, root: str) -> str:
    """The first folder below the root that contains a path, or an archive's own name."""
    inner = path.removeprefix(root.rstrip("/") + "/")
    first, slash, _ = inner.partition("/")
    return first if slash and inner != path else ""
