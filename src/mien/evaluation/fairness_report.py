"""The report of a model audit: a self-contained `report.html` without faces, PNGs and `audit.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mien._core.files import write_json
from mien._core.text import count
from mien.evaluation.fairness import FEW, ModelAudit, gap_lines
from mien.evaluation.predictions import Predictions
from mien.evaluation.provenance import data_facts, familiarity, model_facts
from mien.evaluation.robustness import RobustnessReport
from mien.evaluation.robustness_chart import robustness_chart
from mien.evaluation.score_charts import groups_chart, reliability_chart
from mien.metrics.calibration import BINS
from mien.output.html import Report

PAGE, DATA = "report.html", "audit.json"


def write_model_audit(
    audit: ModelAudit,
    predictions: Predictions,
    folder: Path,
    *,
    robustness: Mapping[str, RobustnessReport] | None = None,
    command: str = "",
) -> Path:
    """Write the report of an audit.

    Besides `report.html` and `audit.json`: `reliability.png`, with groups `groups.png`, with `robustness`
    `robustness.png`. Files of these names are replaced.

    Args:
        audit: of these predictions.
        predictions: of the model.
        folder: created if missing.
        robustness: "all" -> of all images, and up to three groups by name.
        command: the command line, for the record.

    Returns:
        The page.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by = f" by {audit.column}" if audit.column else ""
    page = Report(
        f"Audit of {audit.model}{by}",
        f"On {audit.data}, split {audit.split}, head {audit.head}, {count(audit.whole.n, 'image')}.",
    )
    _add_groups(page, audit, folder)
    _add_calibration(page, predictions, folder)
    if robustness:
        _add_robustness(page, robustness, folder)
    page.heading("What this cannot show")
    for text in _LIMITS:
        page.paragraph(text)
    page.heading("Measurement record")
    page.facts([*model_facts(predictions), *data_facts(predictions, command)])
    page.write(folder / PAGE)
    values = audit.to_dict() | {"robustness": {n: one.to_dict() for n, one in (robustness or {}).items()}}
    write_json(folder / DATA, values)
    return folder / PAGE


_LIMITS = (
    "Labels are human annotations. If the annotators labelled one group differently from another, the model looks "
    "accurate where it repeats their bias.",
    "Only faces in the dataset count. How often a detector misses the faces of a group is not measured here.",
    "Groups that are not recorded are invisible, and so are combinations of groups without a column.",
)


def _add_groups(page: Report, audit: ModelAudit, folder: Path) -> None:
    page.heading("Accuracy by group" if audit.column else "Accuracy")
    if audit.column:
        bars = {"all": audit.whole, **audit.groups}
        points = {
            f"{name} *" if one.few else f"{name} ({one.n:,})": (one.accuracy, one.interval)
            for name, one in bars.items()
        }
        groups_chart(points, folder / "groups.png")
        page.chart(
            folder / "groups.png",
            "Accuracy of every group as a point, with its interval",
            "Points: accuracy; lines: 95 % interval; in brackets: images; "
            f"*: fewer than {FEW}. The dashed line is the accuracy of all.",
        )
    page.add(audit.table())
    if audit.column is None:
        page.paragraph("No groups were given: name a column with --group.")
        return
    for line in gap_lines(audit):
        page.paragraph(line)
    page.paragraph(
        f"Each interval is for one group alone. Among {len(audit.groups)} groups, some do not overlap by chance, "
        "and more groups make this more likely. So there is a single permutation test: the largest gap of all pairs, "
        "compared with the largest gap after exchanging images between groups at random (10,000 times). "
        "If the column was chosen after looking at several, p is too small."
    )


def _add_calibration(page: Report, predictions: Predictions, folder: Path) -> None:
    page.heading("Calibration")
    reliability_chart(predictions.confidences, predictions.correct, folder / "reliability.png")
    page.chart(
        folder / "reliability.png",
        "Reliability diagram: accuracy against confidence",
        "All images. Below the diagonal the model is overconfident; above it, underconfident.",
    )
    page.paragraph(
        "In the table above, a group whose mean confidence lies above its accuracy is promised too much. Calibration: "
        f"the expected calibration error, {BINS} bins. By chance: what it would be on average with as many images if "
        "every confidence were true; an error near it is no sign of wrong confidences."
    )
    page.paragraph(familiarity(predictions))


def _add_robustness(page: Report, robustness: Mapping[str, RobustnessReport], folder: Path) -> None:
    page.heading("Robustness to corruptions")
    robustness_chart(robustness, folder / "robustness.png")
    groups = [name for name in robustness if name != "all"]
    page.chart(
        folder / "robustness.png",
        "Accuracy against the level of corruption, one panel per corruption",
        "The same images, corrupted. Dashed: the accuracy without corruption; bands: 95 % intervals."
        + (
            f" Besides all images: {' and '.join(groups)}, the two groups of the largest gap."
            if groups
            else ""
        ),
    )
    page.paragraph("All images:")
    page.add(robustness["all"].table())
