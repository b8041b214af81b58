"""The card of an exported model: what it is, what it was trained on, how right it is."""

from __future__ import annotations

from pathlib import Path

from mien._core.files import write_atomically
from mien.models.registry import ModelConfig

_CARD = """\
# {name}

Tells {labels} apart in a grey crop of one face, {size} x {size} pixels.

- Input `crops`: uint8 (n, {size}, {size}); normalisation is inside.
- Outputs, probabilities: {outputs}.
- Trained on {data}, {train} images (SHA-256 of the data {sha256}…).
- Made with {created_with}; its settings are in `config.json`.

## Scores on the validation split, one view an image

| output | n | accuracy (95 % interval) | balanced accuracy | macro F1 | calibration error |
|---|---|---|---|---|---|
{scores}

`ferplus` is scored against the majority of the FER+ votes, the other outputs against the dataset's labels. The
temperatures ({temperatures}), the shares of the blend ({blend}) and the threshold of `uncertain`
({uncertain_below:.2f}) were fitted on {calibration}{chosen}{origin}

## Limits

It tells the expression that a face shows, not what a person feels. The labels of such datasets are noisy: people
agree with FER2013's on about two of three faces. Do not use it to decide about people.
"""

_HELD_BACK = "{:,} images of the training split that were not trained on."
_SAME = (
    "this same\nsplit: its calibration error flatters the model a little. A head's accuracy does not depend on them; "
    "that of a blend\nof two heads may a little."
)
_CHOSEN = " The epoch was chosen by the accuracy on this split, too, which flatters that accuracy a little."
_ORIGIN = " The training began with the weights of {}, which may have seen images of this split."


def write_card(folder: Path) -> None:
    """Write a model folder's README.md from its configuration."""
    config = ModelConfig.load(folder)
    images = config.data["images"]
    scores = [
        f"| {head} | {m['n']} | {100 * m['accuracy']:.2f} % ({100 * m['interval'][0]:.1f} to "
        f"{100 * m['interval'][1]:.1f}) | {100 * m['balanced_accuracy']:.1f} % | {100 * m['macro_f1']:.1f} % "
        f"| {m['calibration_error']:.4f} |"
        for head, m in config.metrics.items()
    ]
    text = _CARD.format(
        name=config.name,
        labels=", ".join(config.labels),
        size=config.input_size,
        outputs=", ".join(f"`{head}` (n, {len(labels)})" for head, labels in config.outputs.items()),
        data=config.data["name"],
        train=images["train"],
        sha256=config.data["sha256"][:16],
        created_with=config.created_with,
        scores="\n".join(scores),
        temperatures=", ".join(f"{head} {t:.2f}" for head, t in config.temperature.items()),
        blend=", ".join(f"{head} {share:.2f}" for head, share in config.blend.items()),
        calibration=_HELD_BACK.format(images["calibration"]) if "calibration" in images else _SAME,
        uncertain_below=config.uncertain_below,
        chosen=_CHOSEN if config.training.get("early_stopping") else "",
        origin=_ORIGIN.format(config.training["init"]) if config.training.get("init") else "",
    )
    write_atomically(folder / "README.md", text)
