"""The output of an audit: text lines, and an HTML report with the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_json
from mien._core.text import Table, count, is_or_are, percent
from mien.auditing.audit import AuditReport
from mien.auditing.issues import LABEL_ERRORS, REASONS, Group, Issue
from mien.data.dataset import Dataset
from mien.output.html import Report

_SHOWN_GROUPS, _SHOWN_FACES = 12, 24
_LARGEST = 6  # images of a group that are shown
_NOT_CHECKED = "not checked: there are no FER+ votes (--votes); a model can check them too (--model mien-s)"


def format_audit(report: AuditReport) -> str:
    """The figures of a report as lines for people."""
    sizes = report.sizes()
    lines = [
        f"{report.data}: " + ", ".join(f"{count(n, 'image')} in {split}" for split, n in sizes.items()),
        "",
    ]
    lines += [*copy_lines(report), f"labels: {_label_checks(report)}", ""]
    found = _reason_table(report)
    lines += [found.text() if found.rows else "nothing found", ""]
    lines += [_class_table(report).text(), ""]
    return "\n".join([*lines, _balance(report), _cleaning(report)])


def copy_lines(report: AuditReport) -> list[str]:
    """Counts of duplicates and near-duplicates, and train/test leakage."""
    lines = [
        f"{title}: {count(len(groups), 'group')} with {count(sum(len(g.items) for g in groups), 'image')}; "
        f"groups with contradicting labels: {sum(g.contradicting for g in groups):,}"
        for title, groups in (("identical", report.exact), ("near-duplicates", report.near))
    ]
    sizes = report.sizes()
    lines += [
        f"{o.split}: {o.identical:,} of {count(sizes[o.split], 'image')} {is_or_are(o.identical)} also in {o.other}, "
        f"and {o.near:,} more as near-duplicates"
        for o in report.overlaps
        if o.split != "train"
    ]
    return lines


def write_page(report: AuditReport, dataset: Dataset, folder: Path, *, thumbnails: bool = True) -> list[Path]:
    """Write `report.html`, with pictures, and `audit.json`, with all findings, into a folder.

    Args:
        report: the result of `mien.auditing.audit`.
        dataset: the audited dataset.
        folder: created if missing.
        thumbnails: whether pictures of the dataset are shown.

    Returns:
        The two files.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = report.sizes()
    page = Report(
        f"Audit of {report.data}",
        ", ".join(f"{count(n, 'image')} in {split}" for split, n in sizes.items()),
        thumbnails=thumbnails,
    )
    page.heading("Summary")
    for line in copy_lines(report):
        page.paragraph(line[0].upper() + line[1:] + ".")
    page.paragraph(f"Labels: {_label_checks(report)}.")
    page.paragraph(_cleaning(report).capitalize() + ".")
    page.add(_explained(_reason_table(report), report))
    page.heading("Classes")
    page.add(_class_table(report))
    page.paragraph(_balance(report).capitalize() + ".")
    _copies_part(page, report, dataset)
    for reason in ("constant", "not-a-face", "few-greys", "outvoted", "doubted"):
        _faces_part(page, dataset, reason, [f for f in report.issues if f.reason == reason])
    files = [folder / "report.html", folder / "audit.json"]
    page.write(files[0])
    write_json(files[1], report.to_dict(), indent=1, ascii_only=False)
    return files


def _label_checks(report: AuditReport) -> str:
    return "checked by " + " and by ".join(report.label_checks) if report.label_checks else _NOT_CHECKED


def _reason_table(report: AuditReport) -> Table:
    """How many images of every split have what is wrong."""
    rows = [(reason, *(f"{n:,}" for n in row.values())) for reason, row in report.counts().items()]
    return Table(("", *report.sizes()), rows)


def _explained(table: Table, report: AuditReport) -> Table:
    """The same with what a reason means, and whether cleaning drops its images."""
    dropped = {f.reason for f in report.issues if f.dropped}
    rows = [
        (
            f"{reason}: {REASONS[reason]}",
            *counts,
            "train" if reason in dropped else "if asked to" if reason in LABEL_ERRORS else "no",
        )
        for reason, *counts in table.rows
    ]
    return Table(("finding", *table.columns[1:], "dropped by cleaning"), rows)


def _class_table(report: AuditReport) -> Table:
    sizes = report.sizes()
    rows = [
        (
            label,
            *(
                f"{counts[label]:,} ({percent(counts[label] / max(sizes[split], 1))})"
                for split, counts in report.class_counts.items()
            ),
        )
        for label in report.labels
    ]
    return Table(("class", *sizes), rows)


def _balance(report: AuditReport) -> str:
    """The ratio of the largest to the smallest class, in the training split."""
    split = "train" if "train" in report.class_counts else next(iter(report.class_counts))
    counts = report.class_counts[split]
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[least] == 0:
        empty = ", ".join(label for label, n in counts.items() if n == 0)
        return f"balance: in {split} there are no images of {empty}"
    return f"balance: in {split}, {most} has {counts[most] / counts[least]:.1f} times the images of {least}"


def _cleaning(report: AuditReport) -> str:
    with_labels = len(report.dropped(reasons=LABEL_ERRORS))
    total = report.sizes().get("train", 0)
    return (
        f"cleaning drops {len(report.dropped()):,} of {count(total, 'image')} of train, "
        f"{with_labels:,} with --drop-wrong-labels; validation and test are unchanged"
    )


def _copies_part(page: Report, report: AuditReport, dataset: Dataset) -> None:
    parts = (
        ("Identical images with contradicting labels", [g for g in report.exact if g.contradicting]),
        ("Train/test leakage: identical images in train and in a scored split", _crossing(report.exact)),
        ("Train/test leakage: near-duplicates in train and in a scored split", _crossing(report.near)),
        ("Near-duplicates with contradicting labels", [g for g in report.near if g.contradicting]),
        ("The largest groups of near-duplicates", sorted(report.near, key=lambda g: -len(g.items))),
    )
    for title, groups in parts:
        if groups:
            page.heading(title)
            page.paragraph(_shown(len(groups), min(len(groups), _SHOWN_GROUPS), "groups"))
            page.groups(_pictures(group, dataset) for group in groups[:_SHOWN_GROUPS])


def _crossing(groups: Sequence[Group]) -> list[Group]:
    return [g for g in groups if g.first_in("train") and g.first_in("validation", "test")]


def _pictures(group: Group, dataset: Dataset) -> tuple[list[NDArray[np.uint8]], list[str]]:
    # One of each split and label first: they show why the group is listed.
    seen = {(item.split, item.label): item for item in reversed(group.items)}
    items = sorted(group.items, key=lambda item: seen[item.split, item.label] != item)[:_LARGEST]
    captions = [f"{item.label}, {item.split}" for item in items]
    if len(group.items) > len(items):
        captions[-1] += f" (and {len(group.items) - len(items)} more)"
    return [dataset.splits[item.split].images[item.index] for item in items], captions


def _faces_part(page: Report, dataset: Dataset, reason: str, issues: Sequence[Issue]) -> None:
    if not issues:
        return
    page.heading(f"{reason.replace('-', ' ').capitalize()}: {REASONS[reason]}")
    shown = issues[:_SHOWN_FACES]
    page.paragraph(_shown(len(issues), len(shown), "images"))
    page.faces(
        (dataset.splits[f.item.split].images[f.item.index] for f in shown),
        (
            f"{f.item.label} → {f.suggested}, {f.detail}" if f.suggested else f"{f.item.label}, {f.detail}"
            for f in shown
        ),
    )


def _shown(total: int, shown: int, what: str) -> str:
    return f"All {total:,} {what}." if shown == total else f"{shown} of {total:,} {what}; audit.json has all."
