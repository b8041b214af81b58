"""The card of an exported model: inputs and outputs, training data, accuracy."""

from __future__ import annotations

from pathlib import Path

from mien.models.registry import ModelConfig

_CARD = """\
# {name}

Classifies a grey crop of one face, {size} x {size} pixels, as one of {labels}.

- Input `crops`: uint8 (n, {size}, {size}); normalisation is inside.
- Outputs, probabilities: {outputs}.
- Trained on {data}, {train} images (SHA-256 of the data {sha256}…).
- Made with {created_with}; its settings are in `config.json`.

## Scores on the validation split, one view an image

| output | n | accuracy (95 % interval) | balanced accuracy | macro F1 | calibration error |
|---|---|---|---|---|---|
{scores}

`ferplus` is scored against the majority of the FER+ votes, the other outputs against the dataset's labels. The
temperatures ({temperatures}), the blend weights ({blend}) and the threshold of `uncertain`
({uncertain_below:.2f}) were fitted on {calibration}{chosen}{origin}

## Limits

The model recognises the expression that a face shows, not what a person feels. The labels of such datasets are noisy:
people agree with FER2013's on about two of three faces. Do not use it to decide about people.
"""

_HELD_BACK = "{:,} images of the training split that were held out of training."
_SAME = (
    "this same\nsplit: its calibration error is slightly too low. The accuracy of a head does not depend on them; "
    "that of a blend\nof two heads may slightly."
)
_CHOSEN = " The epoch was also chosen by the accuracy on this split, so that accuracy is slightly too high."
_ORIGIN = " Training started from the weights of {}, which may have seen images of this split."


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
    (folder / "README.md").write_text(text, encoding="utf-8")
