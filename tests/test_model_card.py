"""The model card: every figure is the one that was measured, and it claims only what is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_evaluation import dataset, split
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.data.dataset import Dataset
from mien.evaluation.model_card import write_folder_card, write_model_card
from mien.evaluation.robustness import measure_robustness
from mien.evaluation.scores import evaluate
from mien.labels import LABELS
from mien.models.classifier import EmotionClassifier

WriteModel = Callable[..., Path]


def sections(path: Path) -> dict[str, str]:
    """Heading -> what is below it."""
    parts = re.split(r"^##+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def cells(text: str) -> list[list[str]]:
    """The rows of the first table, its header too."""
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if set(row[0]) != {"-"}]


@pytest.fixture
def data() -> Dataset:
    """Nine faces, eight of which are as bright as their label says, one copied into the training split."""
    votes = np.zeros((9, 10), np.uint8)
    votes[:, 1] = 10  # all happy
    part = split([0, 1, 2, 3, 4, 5, 6, 3, 3], [0, 1, 2, 3, 4, 5, 6, 3, 0], votes=votes)
    return dataset(validation=part, train=split([3], [3]))


def test_figures_are_those_of_the_evaluation(write_model: WriteModel, data: Dataset, tmp_path: Path) -> None:
    model = EmotionClassifier(write_model(uncertain_below=0.5, temperature={"fer2013": 1.25}))
    write_model_card(model, data, tmp_path / "card.md", command="mien card here")
    found = sections(tmp_path / "card.md")
    report = evaluate(model, data, head="expression")
    header, *rows = cells(found["Accuracy"])
    table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert set(table) == {"`fer2013`", "`expression`", "`ferplus`"}
    assert table["`expression`"]["n"] == "9"
    assert table["`expression`"]["accuracy"].startswith(f"{100 * report.accuracy:.1f} %")
    assert table["`expression`"]["calibration error"] == f"{report.calibration_error:.3f}"
    assert report.per_class["happy"]["recall"] == pytest.approx(2 / 3)
    happy = next(row for row in cells(found["Scores per class: `expression`"]) if row[0] == "happy")
    assert happy[2] == "66.7 %"
    assert report.selective_prediction is not None
    assert (
        f"{100 * report.selective_prediction.coverage:.1f} % of the predictions are not"
        in found["Calibration and selective prediction"]
    )
    assert "fer2013 1.25" in found["Calibration and selective prediction"]
    corrupted = measure_robustness(model, data, head="expression")
    worst = corrupted.curves["brightness"].points[-1]
    row = next(r for r in cells(found["Robustness to corruptions"]) if r[:2] == ["", "25 %"] and "%" in r[2])
    assert row[2].startswith(f"{100 * worst.accuracy:.1f} %")
    assert "mien card here" in found["Measurement record"]
    assert model.config.sha256 in found["Measurement record"]


def test_copies_and_votes_are_told(write_model: WriteModel, data: Dataset, tmp_path: Path) -> None:
    write_model_card(EmotionClassifier(write_model()), data, tmp_path / "card.md")
    found = sections(tmp_path / "card.md")
    rest = evaluate(EmotionClassifier(write_model("again")), data, head="expression").without_copies
    assert rest is not None
    row = next(r for r in cells(found["Without train/test leakage"]) if r[0] == "`expression`")
    assert row[1:4:2] == [str(rest.n), str(rest.copies)]
    assert "Against the FER+ votes" in found


def test_other_labels_make_no_claims_about_fer2013(write_model: WriteModel, tmp_path: Path) -> None:
    labels = ("calm", "tense")
    model = EmotionClassifier(write_model(outputs={"expression": labels}))
    own = Dataset("study", labels, {"validation": split([0, 1, 1], [0, 1, 0])})
    write_model_card(model, own, tmp_path / "card.md")
    found = sections(tmp_path / "card.md")
    assert "as one of calm, tense" in (tmp_path / "card.md").read_text()
    assert "Goodfellow" not in found["Data"]
    assert "Against the FER+ votes" not in found
    assert "Without train/test leakage" not in found
    assert "not known" in found["Data"]
    assert "FER2013" not in found["Limits"]


def test_the_card_of_a_folder_has_the_same_limits(
    write_model: WriteModel, data: Dataset, tmp_path: Path
) -> None:
    model = EmotionClassifier(write_model())
    folder = tmp_path / "model"
    folder.mkdir()
    scores = {head: evaluate(model, data, head=head).summary() for head in ("fer2013", "expression")}
    trained = {"name": "fer2013", "images": {"train": 1234}, "sha256": 64 * "a"}
    replace(model.config, metrics=scores, data=trained).save(folder)
    write_folder_card(folder)
    write_model_card(model, data, tmp_path / "card.md")
    short, long = sections(folder / "README.md"), sections(tmp_path / "card.md")
    for title in ("Limits", "Uses to refuse"):
        assert short[title].strip() == long[title].strip()
    assert "FER2013" in short["Limits"]
    rows = {row[0]: row[1:] for row in cells((folder / "README.md").read_text())}
    full = {row[0]: row[2:] for row in cells(long["Accuracy"])}
    assert rows["`expression`"] == full["`expression`"] and rows["`fer2013`"] == full["`fer2013`"]


def test_the_command_makes_the_folder(tmp_path: Path, data: Dataset) -> None:
    for place, (image, target) in enumerate(zip(data.split().images, data.split().targets, strict=True)):
        folder = tmp_path / "faces" / "validation" / LABELS[target]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}.pgm").write_bytes(b"P5 48 48 255\n" + image.tobytes())
    card = tmp_path / "cards" / "mine" / "card.md"
    done = CliRunner().invoke(command_line(), ["card", str(tmp_path / "faces"), "--output", str(card)])
    assert done.exit_code == 0, done.output
    assert f"wrote {card}" in done.output
    assert card.read_text().startswith("# Model card: mien-s")
