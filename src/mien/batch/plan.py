"""What a run has to do: the log of shards as it grows by listing, and which of its shards are done.

Listing goes on in threads, ahead of the work, each at a range of names of its own, and ends up in the records; so it
happens once, however often a run is stopped, and memory holds no more than the shards that are being made. What is done
is kept as ranges of shard numbers. A later run lists anew, and appends what is in no shard; of a large
source only when all of it is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from queue import Empty, Queue

from mien.batch.names import Names
from mien.batch.shards import (
    PARTS,
    Shard,
    append_shard,
    digest_of,
    load_entries,
    read_shard,
    read_shards,
    without_listed,
)
from mien.batch.sources import Entry, Span, canonical, is_ordered, list_span, nothing_there, spans_of
from mien.batch.state import Range, State
from mien.batch.storage.stores import Store
from mien.batch.worker import in_tasks

_THREADS = 8  # ranges that are listed at a time
_FIRST_WAIT, _WAIT = 2.0, 20.0  # seconds after which a slow listing makes a shard of what it has
_LARGE = 1_000_000  # entries: to list so many takes a thousand requests
_SAVE_EVERY = 10.0  # seconds
_LAST_WAIT = 10.0  # seconds that a listing has to come to its end


class Plan:
    """The shards that a run has to work on.

    Args:
        store: of the records.
        token: the owner's number.
        sources: as they were given.
        first: called for the number of the first shard of a new plan.
        part_size, partitioned: what new shards are cut into parts by.
        foreign: names of pictures that parts hold which are in no shard; read when it is first called.
    """

    def __init__(
        self,
        store: Store,
        token: int,
        sources: Sequence[str],
        *,
        first: Callable[[], int],
        part_size: int,
        partitioned: bool,
        foreign: Callable[[State], Names],
    ) -> None:
        self._store, self._token, self._part_size, self._partitioned = store, token, part_size, partitioned
        self._foreign = foreign
        self.sources = {canonical(source): source for source in sources}
        state = State.load(store, token)
        if state is None:
            begin = first()
            state = State(begin, begin)
        self.state = state
        while (shard := read_shard(store, self.state.next)) is not None:
            self.state.take(shard)
        self._lock = threading.Lock()
        self._saved = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._queue: Queue[int | Exception | None] = Queue()
        self.total: int | None = None
        self.foreign_count = 0
        self.old = range(self.state.first, self.state.next)
        """Shards of earlier runs: parts of them may be there."""

    def shards(self) -> Iterator[tuple[Shard, list[Entry]]]:
        """The shards of the sources that are not done, in the order of the log, as listing adds them.

        Raises:
            SourceError, StoreError, MissingExtraError: what kept a source from being listed, after all other sources.
        """
        ranges = self._begin()
        self._thread = threading.Thread(target=self._list, args=(ranges,), daemon=True)
        self._thread.start()
        try:
            for number in self.old:
                if number not in self.state.done:
                    yield from self._open(number)
            while (item := self._queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield from self._open(item)
        finally:
            self._stop.set()

    def finish(self, shard: Shard, rows: int) -> None:
        """Note that all parts of a shard are there, with so many rows."""
        with self._lock:
            self.state.finish(shard, rows)
        if time.monotonic() - self._saved > _SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Keep the state in the records."""
        with self._lock:
            self.state.save(self._store, self._token)
            self._saved = time.monotonic()

    def stop(self) -> None:
        """End the listing; what is in the log stays."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LAST_WAIT)

    def _open(self, number: int) -> Iterator[tuple[Shard, list[Entry]]]:
        shard = read_shard(self._store, number)
        if shard is not None and shard.source in self.sources:
            yield shard, load_entries(self._store, shard)

    def _begin(self) -> list[tuple[str, Range]]:
        """The ranges that are to be listed; where a source was listed to its end, all of it once more."""
        wanted = []
        for source, given in self.sources.items():
            ranges = self.state.sources.setdefault(source, [])
            if not ranges:
                ranges += [Range(span.start, span.stop) for span in spans_of(given, _THREADS)]
            elif all(one.finished for one in ranges) and self._is_worth_it(source):
                for one in ranges:
                    one.after, one.finished, one.round = None, False, one.round + 1
            wanted += [(source, one) for one in ranges if not one.finished]
        self.save()
        return wanted

    def _is_worth_it(self, source: str) -> bool:
        """Whether to look for what is new: not in a large source while there is still to do."""
        entries = sum(one.entries for one in self.state.sources[source])
        return entries <= _LARGE or self.state.pictures.get(source, 0) == entries

    def _list(self, ranges: list[tuple[str, Range]]) -> None:
        """List all ranges, some at a time; then say that there is no more, or what went wrong first."""
        errors: list[Exception] = []
        seen: dict[str, int] = dict.fromkeys(self.sources, 0)
        waiting: Queue[tuple[str, Range]] = Queue()
        begun = {source for source, one in ranges if one.after is not None or one.round > 1}
        for item in ranges:
            waiting.put(item)

        def work() -> None:
            with suppress(Empty):
                while not self._stop.is_set():
                    source, one = waiting.get_nowait()
                    try:
                        self._list_range(source, one, known[source], seen)
                    except Exception as error:  # raised where the shards are taken
                        errors.append(error)

        try:
            known = self._known()
            threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_THREADS, len(ranges)))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if not errors:
                self.save()
                empty = [s for s, _ in ranges if not seen[s] and s not in begun]
                errors += [nothing_there(self.sources[source]) for source in empty]
        except Exception as error:  # as above
            errors.append(error)
        if not errors and not self._stop.is_set():
            entries = [one.entries for source in self.sources for one in self.state.sources[source]]
            self.total = sum(entries)
        self._queue.put(errors[0] if errors else None)

    def _known(self) -> dict[str, list[Names]]:
        """For each source the names that each of its entries is looked up in, where its order does not tell enough."""
        names = self._foreign(self.state)
        self.foreign_count = len(names)
        foreign = [names] if len(names) else []
        by_name = {source for source in self.sources if self._overlaps(source)}
        if not by_name:
            return dict.fromkeys(self.sources, foreign)
        names = Names()
        shards = read_shards(self._store, self.old)
        for shard in shards:
            if any(_may_share(shard.source, source) for source in by_name):
                names.add([entry.name for entry in load_entries(self._store, shard)])
        return {source: foreign + [names] * (source in by_name) for source in self.sources}

    def _overlaps(self, source: str) -> bool:
        others = {*self.sources, *self.state.sources} - {source}
        return not is_ordered(source) or any(_may_share(source, other) for other in others)

    def _list_range(self, source: str, one: Range, known: list[Names], seen: dict[str, int]) -> None:
        span = Span(one.start, one.stop)

        def counted() -> Iterator[Entry]:
            for entry in list_span(self.sources[source], span, one.after if is_ordered(source) else None):
                if self._stop.is_set():
                    return
                seen[source] += 1
                yield entry

        entries = self._new_ones(source, one, counted(), known)
        held: list[list[Entry]] = []
        begun, wait = time.monotonic(), _FIRST_WAIT
        for part in in_tasks(entries, self._part_size, partitioned=self._partitioned):
            held.append(part)
            if len(held) == PARTS or time.monotonic() - begun > wait:
                self._append(source, one, held)
                held, begun, wait = [], time.monotonic(), _WAIT
        if not self._stop.is_set():
            if held:
                self._append(source, one, held)
            with self._lock:
                one.finished = True

    def _new_ones(
        self, source: str, one: Range, entries: Iterator[Entry], known: list[Names]
    ) -> Iterator[Entry]:
        """The entries that no part and no shard has."""
        for names in known:
            entries = names.without(entries, learn=names is not known[0] or not self.foreign_count)
        if one.round == 1 or self._overlaps(source):
            return entries
        span = Span(one.start, one.stop)
        shards = [s for s in read_shards(self._store, self.old) if (s.source, s.span) == (source, span)]
        # The latest first: what is left for the first round, which is almost all, then has the digests of its shards.
        for number in range(one.round - 1, 0, -1):
            entries = without_listed(entries, [s for s in shards if s.round == number], self._store)
        return entries

    def _append(self, source: str, one: Range, parts: list[list[Entry]]) -> None:
        """Put parts into the log as a shard, and hand it on."""
        entries = list(chain.from_iterable(parts))
        with self._lock:
            shard = Shard(
                self.state.next, source, one.start, one.stop, one.round, entries[0].place, entries[-1].place,
                len(entries), len(parts), self._part_size, self._partitioned, digest_of(entries),
            )  # fmt: skip
            append_shard(self._store, shard, entries)
            self.state.take(shard)
        self._queue.put(shard.number)


def _may_share(one: str, other: str) -> bool:
    """Whether two sources may both have a picture: one is in the other, or either says its names in another way."""
    if not is_ordered(one) or not is_ordered(other) or any(sign in one + other for sign in "*?["):
        return True
    one, other = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return one.startswith(other) or other.startswith(one)
