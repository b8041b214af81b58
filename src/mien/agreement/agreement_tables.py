"""The figures of agreement as tables, for terminals and pages alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mien._core.text import Table, percent
from mien.agreement.pair_figures import EpisodeAgreement, PairAgreement

_NOTHING = "-"


def headline(pairs: Sequence[PairAgreement], fleiss: float | None, fleiss_seconds: float) -> Table:
    """Kappa and percent agreement of each two coders, and of all together."""
    rows = [
        (
            f"{short(pair.first)} / {short(pair.second)}",
            kappa(pair.kappa),
            between(pair.interval),
            _NOTHING if pair.agreement is None else percent(pair.agreement),
            seconds(pair.seconds),
            *(seconds(sum(pair.left_out.get(why, {}).values())) for why in ("unseen", "uncertain")),
        )
        for pair in pairs
    ]
    if len(pairs) > 1:
        rows.append(("all (Fleiss)", kappa(fleiss), _NOTHING, _NOTHING, seconds(fleiss_seconds), "", ""))
    columns = (
        "coders", "kappa", "95 % interval", "agreement", "seconds compared", "face not seen", "uncertain",
    )  # fmt: skip
    return Table(columns, rows, "Agreement")


def pair_tables(pair: PairAgreement, *, named: bool) -> list[Table]:
    """The tables of two coders; `named` where there are several pairs."""
    of = f": {short(pair.first)} / {short(pair.second)}" if named else ""
    tables = [_labels(pair, of), _confusion(pair, of), _episodes(pair, of)]
    return [*tables, _left_out(pair, of)] if pair.left_out else tables


def _labels(pair: PairAgreement, of: str) -> Table:
    rows = [
        (
            label,
            kappa(one.kappa),
            between(one.interval),
            *(_NOTHING if value is None else percent(value) for value in (one.precision, one.recall, one.f1)),
            *(seconds(value) for value in (one.first_seconds, one.second_seconds, one.both_seconds)),
        )
        for label, one in pair.labels.items()
    ]
    columns = (
        "label", "kappa", "95 % interval", "precision", "recall", "F1", "first, s", "second, s", "both, s",
    )  # fmt: skip
    return Table(columns, rows, f"By label{of}")


def _confusion(pair: PairAgreement, of: str) -> Table:
    rows = [
        (label, *(seconds(value) for value in row))
        for label, row in zip(pair.names, pair.confusion, strict=True)
    ]
    return Table(("first, down", *pair.names), rows, f"Confusion in seconds{of}")


def _episodes(pair: PairAgreement, of: str) -> Table:
    rows = [
        (label, str(one.matched), str(one.missed), str(one.extra), *_differences(one))
        for label, one in pair.episodes.items()
    ]
    columns = ("label", "matched", "missed", "extra", "onset, s", "quartiles", "offset, s", "quartiles")
    return Table(columns, rows, f"Episodes{of}")


def _differences(one: EpisodeAgreement) -> list[str]:
    """Median and quartiles of the onsets, then of the offsets."""
    cells = []
    for three in (one.onset, one.offset):
        cells += (
            [_NOTHING, _NOTHING]
            if three is None
            else [f"{three[1]:+.2f}", f"{three[0]:+.2f} to {three[2]:+.2f}"]
        )
    return cells


def _left_out(pair: PairAgreement, of: str) -> Table:
    rows = [
        (why, label, seconds(value))
        for why, said in pair.left_out.items()
        for label, value in sorted(said.items(), key=lambda item: -item[1])
    ]
    return Table(("why", "what the other coder says", "seconds"), rows, f"Not compared{of}")


def short(name: str) -> str:
    """A file or folder by its own name."""
    return Path(name).name or name


def kappa(value: float | None) -> str:
    """A kappa, or that there is none."""
    return _NOTHING if value is None else f"{value:.3f}"


def between(ends: tuple[float, float] | None) -> str:
    """An interval of a kappa."""
    return _NOTHING if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def seconds(value: float) -> str:
    """Seconds in tenths."""
    return f"{value:,.1f}"
