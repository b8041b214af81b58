"""The listing of a collection, kept as a log of shards: runs of entries that are parts of the output already by number.

A shard is two files of the records: its entries (Parquet, with what names share left out), and a line about them, which
is written only where nothing is yet. So shards have one order, whoever adds to it, and what a number once stood for it
stands for ever: a part is named by its shard and its place there, and a part that is made twice is the same part.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Any

from mien.batch.names import Names, encoded
from mien.batch.sources import Entry, Place, Span
from mien.batch.storage.stores import Store
from mien.errors import SourceError, StoreError

PARTS = 100
"""Parts a shard, at most: what is listed before any of it is worked on, and what is known of it in one piece."""
_AT_ONCE = 16


@dataclass(frozen=True)
class Shard:
    """What the log says of a run of entries.

    Attributes:
        number: its place in the log, from 0 or from behind the parts of an earlier version.
        source: as `canonical` names it.
        start, stop: of the span of the source.
        round: 1 for the first listing of that span, more for what later ones found new.
        first, last: places of the first and last entry.
        entries, parts: how many it has.
        part_size, partitioned: what it was cut into parts by.
        digest: of the names in order, BLAKE2b of 16 bytes.
    """

    number: int
    source: str
    start: str
    stop: str | None
    round: int
    first: Place
    last: Place
    entries: int
    parts: int
    part_size: int
    partitioned: bool
    digest: str

    @property
    def span(self) -> Span:
        """The part of the source that it is of."""
        return Span(self.start, self.stop)


def append_shard(store: Store, shard: Shard, entries: Sequence[Entry]) -> None:
    """Add a shard to the log.

    Raises:
        StoreError: another run has added one of this number.
        OSError, StoreError: it cannot be written.
    """
    store.write(_body(shard), _to_parquet(entries))
    if not store.create(_name(shard.number), json.dumps(asdict(shard)).encode()):
        raise StoreError(
            f"shard {shard.number}: another run has written it meanwhile; expected one run at a time: "
            "the same command continues"
        )


def read_shard(store: Store, number: int) -> Shard | None:
    """What the log says of a number, None behind its end."""
    data = store.read(_name(number))
    if data is None:
        return None
    values = json.loads(data)
    for name in ("first", "last"):
        path, key = values[name]
        values[name] = (path, tuple(key))
    return Shard(**values)


def read_shards(store: Store, numbers: Iterable[int]) -> list[Shard]:
    """What the log says of some numbers, in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda number: read_shard(store, number), numbers)
        return [shard for shard in found if shard is not None]


def load_entries(store: Store, shard: Shard) -> list[Entry]:
    """The entries of a shard.

    Raises:
        SourceError: they are not there, or not what was written.
    """
    from pyarrow import ArrowInvalid, BufferReader, parquet

    try:
        table = parquet.ParquetFile(BufferReader(store.read(_body(shard)) or b"")).read().to_pydict()
    except (ArrowInvalid, OSError):
        table = {}
    entries = [
        Entry(_text(name), _text(container), tuple(key), _text(folder), _text(error))
        for name, container, key, folder, error in zip(
            *(table.get(name, []) for name in _COLUMNS), strict=True
        )
    ]
    if digest_of(entries) != shard.digest:
        raise SourceError(
            f"{_body(shard)}: the listing in the records is not what was written; expected it whole: copy the records "
            "again, or delete them with their parts"
        )
    return entries


def digest_of(entries: Iterable[Entry]) -> str:
    """The digest of entries' names in order."""
    digest = hashlib.blake2b(digest_size=16)
    for entry in entries:
        digest.update(encoded(entry.name) + b"\0")
    return digest.hexdigest()


def without_listed(entries: Iterator[Entry], shards: Sequence[Shard], store: Store) -> Iterator[Entry]:
    """The entries that are in none of the shards, with no more than one shard in memory.

    Where a shard's digest is that of the entries of its range, its names need not be read.

    Args:
        entries: of a span, in order.
        shards: of one round of that span, in order.
        store: of the records.
    """
    ahead = _Ahead(entries)
    for group in _sections(shards):
        until = group[-1].last[0]
        if not ahead.has(until):
            continue
        held: list[Entry] = []
        if len(group) == 1:
            held = list(islice(ahead.until(until), group[0].entries + 1))
            if len(held) == group[0].entries and digest_of(held) == group[0].digest:
                continue
        known = Names()
        for shard in group:
            known.add([entry.name for entry in load_entries(store, shard)])
        yield from known.without(chain(held, ahead.until(until)))
    yield from ahead.until(None)


def _sections(shards: Sequence[Shard]) -> Iterator[list[Shard]]:
    """Shards one by one; those together that share an archive, whose members may have moved within it."""
    group: list[Shard] = []
    for shard in shards:
        if group and group[-1].last[0] != shard.first[0]:
            yield group
            group = []
        group.append(shard)
    if group:
        yield group


class _Ahead:
    """Entries in order, taken up to a path at a time, that with all of its members."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self._next: Entry | None = next(entries, None)

    def has(self, path: str) -> bool:
        """Whether there is an entry up to a path."""
        return self._next is not None and self._next.place[0] <= path

    def until(self, path: str | None) -> Iterator[Entry]:
        while self._next is not None and (path is None or self._next.place[0] <= path):
            entry, self._next = self._next, next(self._entries, None)
            yield entry


_COLUMNS = ("name", "container", "key", "folder", "error")


def _to_parquet(entries: Sequence[Entry]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: [_cell(getattr(entry, name)) for entry in entries] for name in _COLUMNS}
    schema = pa.schema([(name, pa.list_(pa.int64()) if name == "key" else pa.binary()) for name in _COLUMNS])
    out = io.BytesIO()
    parquet.write_table(
        pa.Table.from_pydict(columns, schema=schema), out, compression="zstd",
        use_dictionary=["container", "folder", "error"], column_encoding={"name": "DELTA_BYTE_ARRAY"},
    )  # fmt: skip
    return out.getvalue()


def _cell(value: Any) -> Any:
    # Bytes, for the name of a file need be no Unicode.
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _text(cell: bytes) -> str:
    return cell.decode("utf-8", "surrogatepass")


def _body(shard: Shard) -> str:
    return f"log/{shard.number:07d}.{shard.digest[:16]}.listing"


def _name(number: int) -> str:
    return f"log/{number:07d}.json"
