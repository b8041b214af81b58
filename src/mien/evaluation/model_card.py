"""MODEL_CARD.md: what a model is, what it was made from, how right it is and where it ends, all from one measurement.

After Mitchell et al., "Model cards for model reporting", arXiv 1810.03993.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mien._core.text import percent
from mien.data.dataset import Dataset
from mien.evaluation.predictions import predict_heads
from mien.evaluation.provenance import data_facts, familiarity, model_facts
from mien.evaluation.robustness import ROBUSTNESS_HEADER, Progress, damage_and_score, robustness_rows
from mien.evaluation.scores import EvaluationReport, score
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig

Rows = Iterable[Sequence[str]]

_FER2013 = """\
- Pictures and labels: FER2013 (Goodfellow et al., "Challenges in representation learning", arXiv 1307.0414),
  from the Kaggle challenge of 2013: faces of 48 x 48 pixels, found by an image search for words of emotion,
  which are the labels, and looked through by people. No licence of the pictures is known to us; they are of
  people who did not ask to be in it. mien ships none of them.
- Votes: FER+ (Barsoum et al., arXiv 1608.01041), ten people's votes on the same pictures, published under the
  MIT licence.
- Known faults: labels that contradict the votes or each other, identical pictures in several splits, pictures
  without a face (`mien audit` lists them)."""

_LIMITS = """\
- It tells the expression that a face **shows**, not what a person feels: people show what they do not feel, and
  feel what they do not show (Barrett et al., Psychological Science in the Public Interest 20(1), 2019).
- The labels are noisy, and so are these figures: see how often the dataset's own labels are what most voters
  saw.
- The pictures of FER2013 are from the web: posed, acted, stock photographs, mostly looking at the camera.
  Candid, turned or covered faces are harder; the table of damages says how much harder some of it is.
- Nothing is recorded of how old the people are, of which sex or origin, so that nothing is known about whether
  it is equally right for all. It must be assumed that it is not.
- A few words are not all that faces show. What fits none of them gets the nearest, with little confidence at
  best.

## Uses to refuse

Deciding about people: hiring, school, police, borders, insurance, credit, care. Watching people at work or in
class (in the European Union that is forbidden, but for medical reasons and safety: Regulation (EU) 2024/1689,
Article 5(1)(f)). Lie detection, diagnosis. Reading faces of people who do not know of it."""


def write_model_card(
    classifier: EmotionClassifier,
    dataset: Dataset,
    path: Path,
    *,
    split: str | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> None:
    """Score every head of a model on a split, as it is and damaged, and write the card.

    Args:
        classifier: the model.
        dataset: the data; its labels must be the model's.
        path: the Markdown file.
        split: as of `mien.evaluation.scores.evaluate`.
        command: the command line, for the record.
        progress: called with (what is being done, images done, images in all).

    Raises:
        DatasetError: no such split, or other labels than the model's.
        OSError: the file cannot be written.
    """
    answers = predict_heads(classifier, dataset, split=split)
    first = next(iter(answers.values()))
    scores = {head: score(found) for head, found in answers.items()}
    damaged = damage_and_score(classifier, answers["blend"], progress=progress)
    config = classifier.config
    parts = [
        f"# Model card: {config.name}",
        f"Tells {', '.join(config.labels)} apart in a grey crop of one face, {config.input_size} x "
        f"{config.input_size} pixels. `blend` is what users get: {_words(config.blend)}.",
        "For telling what expression a face shows, where a mistake harms nobody: art, games, accessibility that its "
        "user has chosen, research on pictures with consent, teaching.",
        f"## Data\n\n{_origin(config, dataset)}\n\n{familiarity(first)}",
        f"## Recipe\n\n{_recipe(config)}",
        f"## How right it is\n\nOn the split `{first.split}`, one view an image, 95 % intervals by bootstrap.\n\n"
        + _score_table(scores),
        *_copies(scores),
        *_votes(scores),
        *(f"### Class by class: `{head}`\n\n{_class_table(report)}" for head, report in scores.items()),
        f"## Is its confidence true?\n\n{_confidence(scores, config)}",
        "## How right it stays\n\nThe head `blend` on the same images, damaged.\n\n"
        + _table(ROBUSTNESS_HEADER, robustness_rows(damaged)),
        f"## Limits\n\n{_LIMITS}",
        "## How this was measured\n\n"
        + "\n".join(
            f"- {name}: {value}" for name, value in (*model_facts(first), *data_facts(first, command))
        ),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _words(shares: Mapping[str, float]) -> str:
    return (
        " and ".join(f"{percent(share)} of `{head}`" for head, share in shares.items())
        or "the mean of its heads"
    )


def _origin(config: ModelConfig, dataset: Dataset) -> str:
    """Of the data that the model was trained on, as far as it is known."""
    known = dataset.is_fer2013 and config.data.get("name") == dataset.name
    return _FER2013 if known else _counts(config)


def _counts(config: ModelConfig) -> str:
    counts = config.data.get("images", {})
    named = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"- {config.data.get('name', 'not recorded')}: {named or 'not recorded'} images."


def _recipe(config: ModelConfig) -> str:
    training = {name: value for name, value in config.training.items() if name != "augmentation"}
    lines = [_counts(config), f"- Made with {config.created_with or 'not recorded'}."]
    if teachers := config.data.get("teachers"):
        lines.append(
            f"- Taught by {len(teachers)} teachers, whose answers on the training images are part of the targets."
        )
    if training:
        lines.append(
            "- Settings: "
            + ", ".join(
                f"{name} {value}"
                for name, value in training.items()
                if value not in ("", training.get("teachers"))
            )
            + "."
        )
        changes = config.training.get("augmentation", {})
        lines.append(
            "- Augmentation: " + ", ".join(f"{name} {value}" for name, value in changes.items()) + "."
        )
    return "\n".join(lines)


def _score_table(scores: dict[str, EvaluationReport]) -> str:
    header = ("head", "scored against", "n", "accuracy", "balanced accuracy", "macro F1", "calibration error")
    return _table(
        header,
        [
            (
                f"`{head}`",
                "FER+ majority, 8 expressions" if head == "ferplus" else "the dataset's labels",
                f"{report.n:,}",
                percent(report.accuracy, report.interval),
                percent(report.balanced_accuracy),
                percent(report.macro_f1),
                f"{report.calibration_error:.3f}",
            )
            for head, report in scores.items()
        ],
    )


def _copies(scores: dict[str, EvaluationReport]) -> list[str]:
    rows = []
    for head, report in scores.items():
        rest = report.without_copies
        if rest is not None and rest.copies and rest.accuracy is not None and rest.interval is not None:
            on_copies = "" if rest.accuracy_on_copies is None else percent(rest.accuracy_on_copies)
            rows.append(
                (
                    f"`{head}`",
                    f"{rest.n:,}",
                    percent(rest.accuracy, rest.interval),
                    f"{rest.copies:,}",
                    on_copies,
                )
            )
    if not rows:
        return []
    text = "### Without copies\n\nSome images are in the training split as well, pixel for pixel.\n\n"
    return [text + _table(("head", "n without", "accuracy without", "copies", "accuracy on copies"), rows)]


def _votes(scores: dict[str, EvaluationReport]) -> list[str]:
    found = {head: report.ferplus for head, report in scores.items() if report.ferplus is not None}
    if not found:
        return []
    header = (
        "head", "n", "answers equal to the majority", "share of votes for the answer", "correlation of shares",
        "of doubt",
    )  # fmt: skip
    rows = [
        (
            f"`{head}`",
            f"{votes.n:,}",
            percent(votes.majority, votes.interval),
            f"{percent(votes.vote_share)} of at most {percent(votes.highest_vote_share)}",
            f"{votes.correlation:.3f}",
            f"{votes.ambiguity:.3f}",
        )
        for head, votes in found.items()
    ]
    labels = next(iter(found.values())).labels
    return [
        "### Against the FER+ votes\n\n"
        f"The dataset's own labels are the majority in {percent(labels)}. Correlation: Pearson's, of all probabilities "
        "with the vote shares; of doubt: Spearman's, of the entropy of the probabilities with that of the votes.\n\n"
        + _table(header, rows)
    ]


def _class_table(report: EvaluationReport) -> str:
    return _table(
        ("class", "precision", "recall", "F1", "n"),
        [
            (label, *(percent(values[key]) for key in ("precision", "recall", "f1")), f"{values['n']:,}")
            for label, values in report.per_class.items()
        ],
    )


def _confidence(scores: dict[str, EvaluationReport], config: ModelConfig) -> str:
    temperatures = ", ".join(f"{head} {value:.2f}" for head, value in config.temperature.items())
    lines = [f"Temperatures {temperatures}; the calibration errors are above (expected, 15 bins)."]
    certain = scores["blend"].certain
    if certain is not None:
        kept = "none of them is" if certain.accuracy is None else f"{percent(certain.accuracy)} of those are"
        lines.append(
            f"Predictions below {percent(certain.threshold)} confidence are flagged as uncertain. On this split "
            f"{percent(certain.coverage)} of the answers are not, and {kept} the dataset's label."
        )
    rows = [
        (percent(point["coverage"]), percent(point["accuracy"]), percent(point["threshold"]))
        for point in scores["blend"].risk_coverage.points
    ]
    return "\n".join(lines) + "\n\n" + _table(("kept", "accuracy of those kept", "least confidence"), rows)


def _table(header: Sequence[str], rows: Rows) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
