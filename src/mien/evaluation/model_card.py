"""Model cards: what a model is, what it was made from, its accuracy and its limitations.

MODEL_CARD.md has all of it, from one measurement; the README.md of a model's folder what its configuration says. After
Mitchell et al., "Model cards for model reporting", arXiv 1810.03993.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mien._core.files import write_atomically
from mien._core.text import Table, percent
from mien.data.dataset import Dataset
from mien.evaluation.model_origin import counts, ensemble, quantization, recipe, unlabelled
from mien.evaluation.predictions import predict_heads
from mien.evaluation.provenance import data_facts, familiarity, model_facts
from mien.evaluation.result import VOTE_SHARE, EvaluationReport, class_table, coverage_table, figures
from mien.evaluation.robustness import Progress, score_corrupted
from mien.evaluation.scores import score
from mien.metrics.calibration import BINS
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig

_FER2013 = """\
- Pictures and labels: FER2013 (Goodfellow et al., "Challenges in representation learning", arXiv 1307.0414),
  from the Kaggle challenge of 2013: faces of 48 x 48 pixels, found by an image search for emotion words,
  which are the labels, and reviewed by people. The licence of the pictures is unknown; they show
  people who did not ask to be in it. mien ships none of them.
- Votes: FER+ (Barsoum et al., arXiv 1608.01041), votes of ten people on the same pictures, published under the
  MIT licence.
- Known faults: labels that contradict the votes or each other, identical pictures in several splits, pictures
  without a face (`mien audit` lists them)."""

_LIMITS = (
    """\
- It tells the expression that a face **shows**, not what a person feels: people show what they do not feel, and
  feel what they do not show (Barrett et al., Psychological Science in the Public Interest 20(1), 2019).""",
    """\
- The labels are noisy, and so are these figures: people agree with FER2013's on about two of three faces.
- The pictures of FER2013 are from the web: posed, acted, stock photographs, mostly looking at the camera.
  Candid, turned or covered faces are harder.""",
    """\
- Nothing is recorded of how old the people are, of which sex or origin, so that nothing is known about whether
  accuracy is equal across groups. It must be assumed that it is not.
- A few words are not all that faces show. What fits none of them gets the nearest, with little confidence at
  best.""",
    """
## Uses to refuse

Deciding about people: hiring, school, police, borders, insurance, credit, care. Watching people at work or in
class (prohibited in the European Union, except for medical reasons and safety: Regulation (EU) 2024/1689,
Article 5(1)(f)). Lie detection, diagnosis. Reading faces of people who do not know about it.""",
)

_FOLDER_CARD = """\
# {name}

Tells {labels} apart in a grey crop of one face, {size} x {size} pixels.

- Input `crops`: uint8 (n, {size}, {size}); normalisation is inside.
- Outputs, probabilities: {outputs}.
- Trained on {data}{train}{sha256}{more}.
- Made with {created_with}; its settings are in `config.json`.{members}

## Scores on the validation split, one view per image

{scores}

`ferplus` is scored against the majority of the FER+ votes, the other heads against the dataset's labels. The
temperatures ({temperatures}){blend} and the threshold of `uncertain`
({uncertain_below:.2f}) were fitted on {calibration}{chosen}{origin}

## Limits

{limits}
"""

_HELD_BACK = "{:,} images of the training split that were not trained on."
_SAME = (
    "this same\nsplit: its calibration error flatters the model a little. A head's accuracy does not depend on "
    "them."
)
_CHOSEN = " The epoch was chosen by the accuracy on this split, too, which flatters that accuracy a little."
_BEGAN = " The training began with the weights of {}, which may have seen images of this split."


def write_folder_card(folder: Path) -> None:
    """Write a model folder's README.md from its configuration.

    Raises:
        ModelError: there is none.
        OSError: the file cannot be written.
    """
    config = ModelConfig.load(folder)
    images = config.data["images"]
    began = [str(recipe["init"]) for recipe in config.recipes if recipe.get("init")]
    rows = [
        (
            f"`{head}`",
            f"{found['n']:,}",
            percent(found["accuracy"], tuple(found["interval"])),
            percent(found["balanced_accuracy"]),
            percent(found["macro_f1"]),
            f"{found['calibration_error']:.3f}",
        )
        for head, found in config.metrics.items()
    ]
    text = _FOLDER_CARD.format(
        name=config.name,
        labels=", ".join(config.labels),
        size=config.input_size,
        outputs=", ".join(f"`{head}` (n, {len(labels)})" for head, labels in config.outputs.items()),
        data=config.data["name"],
        train=f", {images['train']} images" if "train" in images else "",
        sha256=f" (SHA-256 of the data {config.data['sha256'][:16]}…)" if "sha256" in config.data else "",
        more=unlabelled(config),
        created_with=config.created_with,
        members="".join(f"\n- {line}" for line in (ensemble(config), quantization(config)) if line),
        scores=Table(
            ("head", "n", "accuracy", "balanced accuracy", "macro F1", "calibration error"), rows
        ).markdown(),
        temperatures=", ".join(f"{head} {t:.2f}" for head, t in config.temperature.items()),
        blend=f", the mix of heads ({_words(config.blend)})" if len(config.blend) > 1 else "",
        calibration=_HELD_BACK.format(images["calibration"]) if "calibration" in images else _SAME,
        uncertain_below=config.uncertain_below,
        chosen=_CHOSEN if any(recipe.get("early_stopping") for recipe in config.recipes) else "",
        origin=_BEGAN.format(" and ".join(began)) if began else "",
        limits=_limits(config),
    )
    write_atomically(folder / "README.md", text)


def _default(config: ModelConfig) -> str:
    """Which output answers by default, and how it came about."""
    mixed = len(config.blend) > 1
    origin = f", a mix of heads ({_words(config.blend)})" if mixed else ""
    return f"`{config.default}` is the default output{origin}"


def _limits(config: ModelConfig) -> str:
    """What is true of all such models, and of those that learned from FER2013."""
    general, fer2013, *more = _LIMITS
    return "\n".join([general, *([fer2013] if "fer2013" in config.outputs else []), *more])


def write_model_card(
    classifier: EmotionClassifier,
    dataset: Dataset,
    path: Path,
    *,
    split: str | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> None:
    """Score every head of a model on a split, unchanged and corrupted, and write the card.

    Args:
        classifier: the model.
        dataset: the data; its labels must be the model's.
        path: the Markdown file.
        split: as in `mien.evaluation.scores.evaluate`.
        command: the command line, for the record.
        progress: called with (what is being done, images done, images in all).

    Raises:
        DatasetError: no such split, or other labels than the model's.
        OSError: the file cannot be written.
    """
    predictions = predict_heads(classifier, dataset, split=split)
    first = next(iter(predictions.values()))
    scores = {head: score(found) for head, found in predictions.items()}
    config = classifier.config
    corrupted = score_corrupted(classifier, predictions[config.default], progress=progress)
    parts = [
        f"# Model card: {config.name}",
        f"Classifies a grey crop of one face, {config.input_size} x {config.input_size} pixels, as one of "
        f"{', '.join(config.labels)}. {_default(config)}.",
        "Intended use: recognising the expression that a face shows, if errors harm nobody: art, games, accessibility "
        "chosen by its user, research on pictures with consent, teaching.",
        f"## Data\n\n{_origin(config, dataset)}\n\n{familiarity(first)}",
        f"## Recipe\n\n{recipe(config)}",
        f"## Accuracy\n\nOn the split `{first.split}`, one view per image, 95 % intervals by Wilson's score.\n\n"
        + _score_table(scores),
        *_copies(scores),
        *_votes(scores),
        *_classes(scores),
        f"## Calibration and selective prediction\n\n{_confidence(scores, config)}",
        "## Robustness to corruptions\n\nThe default output on the same images, corrupted.\n\n"
        + corrupted.table().markdown(),
        f"## Limits\n\n{_limits(config)}",
        "## Measurement record\n\n"
        + "\n".join(
            f"- {name}: {value}" for name, value in (*model_facts(first), *data_facts(first, command))
        ),
    ]
    write_atomically(path, "\n\n".join(parts) + "\n")


def _words(shares: Mapping[str, float]) -> str:
    return (
        " and ".join(f"{percent(share)} of `{head}`" for head, share in shares.items())
        or "the mean of its heads"
    )


def _origin(config: ModelConfig, dataset: Dataset) -> str:
    """The model's training data, as far as known."""
    known = dataset.is_fer2013 and config.data.get("name") == dataset.name
    return _FER2013 if known else counts(config)


def _score_table(scores: dict[str, EvaluationReport]) -> str:
    rows: list[tuple[str, ...]] = []
    names: tuple[str, ...] = ()
    for head, report in scores.items():
        against = "FER+ majority, 8 expressions" if head == "ferplus" else "the dataset's labels"
        found = [figure for figure in figures(report).values() if figure.title]
        names = tuple(figure.name for figure in found)
        rows.append((f"`{head}`", against, f"{report.n:,}", *(figure.text for figure in found)))
    return Table(("head", "scored against", "n", *names), rows).markdown()


def _copies(scores: dict[str, EvaluationReport]) -> list[str]:
    rows = []
    for head, report in scores.items():
        rest, found = report.without_copies, figures(report)
        if rest is not None and rest.copies and "without copies" in found:
            on_copies = "" if rest.accuracy_on_copies is None else percent(rest.accuracy_on_copies)
            rows.append(
                (f"`{head}`", f"{rest.n:,}", found["without copies"].text, f"{rest.copies:,}", on_copies)
            )
    if not rows:
        return []
    text = "### Without train/test leakage\n\nSome images are in the training split too, pixel for pixel (copies).\n\n"
    columns = ("head", "n without", "accuracy without", "copies", "accuracy on copies")
    return [text + Table(columns, rows).markdown()]


def _votes(scores: dict[str, EvaluationReport]) -> list[str]:
    voted = {head: report.ferplus for head, report in scores.items() if report.ferplus is not None}
    if not voted:
        return []
    columns = (
        "head", "n", "predictions equal to the majority", "share of votes for the prediction", "correlation of shares",
        "of uncertainty", "calibration error",
    )  # fmt: skip
    rows = []
    for head, votes in voted.items():
        told = (figures(scores[head])[name].text for name in ("FER+ majority", VOTE_SHARE))
        rows.append(
            (
                f"`{head}`",
                f"{votes.n:,}",
                *told,
                *(f"{value:.3f}" for value in (votes.correlation, votes.ambiguity, votes.calibration_error)),
            )
        )
    labels = next(iter(voted.values())).labels
    return [
        "### Against the FER+ votes\n\n"
        f"The dataset's own labels are the majority in {percent(labels)}. Correlation: Pearson's, of all probabilities "
        "with the vote shares; of uncertainty: Spearman's, of the entropy of the probabilities and of the votes. "
        "Calibration error: of the confidence that the prediction is the majority, which that of the default output "
        "means.\n\n" + Table(columns, rows).markdown()
    ]


def _classes(scores: dict[str, EvaluationReport]) -> list[str]:
    tables = {head: class_table(report) for head, report in scores.items()}
    return [f"### {table.title}: `{head}`\n\n{table.markdown()}" for head, table in tables.items()]


def _confidence(scores: dict[str, EvaluationReport], config: ModelConfig) -> str:
    temperatures = ", ".join(f"{head} {value:.2f}" for head, value in config.temperature.items())
    lines = [f"Temperatures {temperatures}; the calibration errors are above (expected, {BINS} bins)."]
    selective = scores[config.default].selective_prediction
    if selective is not None:
        right = "the majority of the FER+ votes" if selective.against != "label" else "the dataset's label"
        kept = (
            f"none of them is {right}"
            if selective.accuracy is None
            else f"{percent(selective.accuracy)} of those are {right}"
        )
        lines.append(
            f"Predictions below {percent(selective.threshold)} confidence are flagged as uncertain. On this split "
            f"{percent(selective.coverage)} of the predictions are not (coverage), and {kept} (n = {selective.n:,})."
        )
    return "\n".join(lines) + "\n\n" + coverage_table(scores[config.default]).markdown()
