"""What a model was made of, in words, for its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mien._core.text import count, percent
from mien.models.registry import ModelConfig


def counts(config: ModelConfig) -> str:
    """Of the images it was made from, by split."""
    images = config.data.get("images", {})
    named = ", ".join(f"{name} {number:,}" for name, number in images.items())
    return (
        f"- {config.data.get('name', 'not recorded')}: {named or 'not recorded'} images{unlabelled(config)}."
    )


def unlabelled(config: ModelConfig) -> str:
    """Of the images without labels it learnt from; empty without any."""
    more = config.data.get("unlabelled")
    return f"; and {count(more['images'], 'image')} without labels, taught by other models" if more else ""


def ensemble(config: ModelConfig) -> str:
    """What the networks of an ensemble are; empty for one network."""
    if not config.members:
        return ""
    names = [str(member.get("name", "not recorded")) for member in config.members]
    return f"An ensemble: the mean of the probabilities of {count(len(names), 'network')}, {' and '.join(names)}."


def quantization(config: ModelConfig) -> str:
    """What a model that calculates in int8 was made of, and what that changed; empty for others."""
    if not (made := config.quantization):
        return ""
    layers = count(len(made["float_layers"]), "convolution")
    text = (
        f"Calculates in int8, but for the {layers} to which its answers are most sensitive; made of {made['of']} "
        f"(SHA-256 {made['sha256']}) with {count(made['images'], 'image')} of the training split."
    )
    if "same" not in made:
        return text
    losses = ", ".join(
        f"`{head}` {100 * loss:.2f} points (95 % bound {100 * made['bound'][head]:.2f})"
        for head, loss in made["loss"].items()
    )
    return f"{text} {percent(made['same'])} of the answers are the same; loss of accuracy: {losses}."


def recipe(config: ModelConfig) -> str:
    """Of the settings of its training, and of its teachers, as a list."""
    lines = [counts(config), f"- Made with {config.created_with or 'not recorded'}."]
    if teachers := config.data.get("teachers"):
        lines.append(
            f"- Distilled from {count(len(teachers), 'teacher')}, whose predictions on training images are part of "
            "the targets."
        )
    if config.quantization:
        lines.append(f"- {quantization(config)}")
    if not config.members:
        return "\n".join([*lines, *_settings(config.training)])
    lines.append(f"- {ensemble(config)}")
    for member in config.members:
        lines += [
            f"\n### `{member['name']}`\n",
            f"- Made with {member.get('created_with') or 'not recorded'}; SHA-256 {member['sha256']}.",
            *_settings(member.get("training", {})),
        ]
    return "\n".join(lines)


def _settings(settings: Mapping[str, Any]) -> list[str]:
    """The settings of a training."""
    if not settings:
        return []
    training = {name: value for name, value in settings.items() if name != "augmentation"}
    files = ("", training.get("teachers"), training.get("unlabelled"))
    named = ", ".join(f"{name} {value}" for name, value in training.items() if value not in files)
    changes = ", ".join(f"{name} {value}" for name, value in settings.get("augmentation", {}).items())
    return [f"- Settings: {named}.", f"- Augmentation: {changes}."]
