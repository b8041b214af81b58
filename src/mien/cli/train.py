"""The commands about data and training: one short function each. What a command needs is imported when it runs."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    DataArgument,
    DetectorSettingOption,
    ModelOption,
    ResumeOption,
    RunOption,
    SettingOption,
    VotesOption,
    output_option,
)
from mien.cli.support import (
    check_file,
    check_outside,
    load,
    progress_bar,
)
from mien.models.registry import DEFAULT_MODEL

commands = typer.Typer()


class Storage(StrEnum):
    """How the weights of an ONNX file are stored."""

    FLOAT16 = "float16"
    INT8 = "int8"
    FLOAT32 = "float32"


NetworkOption = Annotated[
    str | None,
    typer.Option(
        help="mien-s, mien-pool, mien-l, tutorial-cnn, resnet50, efficientnet-lite0, -lite1, -lite2, or face-resnet.  "
        "[default: mien-s]",
        show_default=False,
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="For resnet50 and efficientnet-lite0 to -lite2: imagenet, none, or a file; for face-resnet: a file.",
        show_default=False,
    ),
]


@commands.command(epilog="Example: mien data fer2013.csv")
def data(path: DataArgument, votes: VotesOption = None) -> None:
    """Count the images of a dataset by split and class."""
    from mien.data.describe import describe_dataset

    for line in describe_dataset(load(path, votes)):
        typer.echo(line)


@commands.command(
    epilog="Example: mien train fer2013.csv --output runs/first --network tutorial-cnn --epochs 40"
)
def train(
    data: DataArgument,
    output: RunOption,
    resume: ResumeOption = False,
    network: NetworkOption = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="Settings: a TOML file, or the recipe of a network by its name.  [default: the network's own]",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Start from this model: mien-s, a model folder, a run.", show_default=False),
    ] = None,
    weights: WeightsOption = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training images.", show_default=False)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Batch size.", show_default=False)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="Peak of the learning rate schedule.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the random numbers.", show_default=False)
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Devices that share a batch: GPUs, with KERAS_BACKEND=jax.")
    ] = 1,
    setting: SettingOption = None,
    votes: VotesOption = None,
) -> None:
    """Train a network, export it, and score it; a run's config.toml lists all settings."""
    from mien.training.config import combine, parse_setting
    from mien.training.start import check_start
    from mien.training.train import train

    named = {
        "init": init, "weights": weights, "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "seed": seed,
    }  # fmt: skip
    changes = dict(parse_setting(text) for text in setting or ())
    changes |= {name: value for name, value in named.items() if value is not None}
    if resume and (network or config or changes):
        raise typer.BadParameter("resumes with the run's own settings: omit others", param_hint="--resume")
    check_outside("--output", output, data)
    settings = combine(network, config, changes)
    check_start(output, settings, resume=resume, devices=devices)
    folder = train(load(data, votes), output, settings, resume=resume, devices=devices)
    typer.echo(f"wrote {folder}: try it with mien image PHOTO --model {output}")


@commands.command(
    epilog="Example: mien train-detector faces.parquet --faces fer2013.csv --output runs/detector"
)
def train_detector(
    data: Annotated[
        Path, typer.Argument(help="Parquet of photographs with boxes of their faces.", show_default=False)
    ],
    output: RunOption,
    faces: Annotated[
        Path | None,
        typer.Option(
            help="FER2013, in any of its forms: its training faces are pasted in.", show_default=False
        ),
    ] = None,
    resume: ResumeOption = False,
    setting: DetectorSettingOption = None,
) -> None:
    """Train a face detector, export it, and score it on held-out photographs."""
    from mien.training.config import parse_setting
    from mien.training.detector.config import DetectorConfig
    from mien.training.detector.photographs import load_photographs
    from mien.training.detector.train import train_detector
    from mien.training.run_folder import check_folder

    if resume and setting:
        raise typer.BadParameter("resumes with the run's own settings: omit others", param_hint="--resume")
    check_outside("--output", output, data)
    changes = dict(parse_setting(text) for text in setting or ())
    check_folder(output, resume=resume)
    config = DetectorConfig.load(output) if resume else DetectorConfig.from_dict(changes)
    pasted = None if faces is None else load(faces, None).split("train").images
    photographs = load_photographs(data, limit=config.limit)
    folder = train_detector(photographs, pasted, output, config, resume=resume, name=data.name)
    typer.echo(f"wrote {folder}: try it with mien image PHOTO --detector {folder}")


@commands.command(
    epilog="Example: mien distill fer2013.csv --teacher runs/a --teacher runs/b --output soft.npz"
)
def distill(
    data: DataArgument,
    teacher: Annotated[
        list[str], typer.Option(help="A run or a model; several are averaged.", show_default=False)
    ],
    output: Annotated[Path, output_option("The file to write.")],
    config: Annotated[
        str, typer.Option(help="Settings of the student: a TOML file, or a recipe by its name.")
    ] = "mien-s",
    setting: SettingOption = None,
    views: Annotated[int, typer.Option(min=1, max=256, help="Randomly augmented views per image.")] = 8,
    votes: VotesOption = None,
) -> None:
    """Save the predictions of trained models on the training images, to train a student (knowledge distillation).

    The student is trained on the same data, with `mien train --config CONFIG --set teachers=FILE`. The images without
    labels that its setting `unlabelled` names are included.
    """
    from mien.models.classifier import EmotionClassifier
    from mien.training.config import combine, parse_setting
    from mien.training.distill import distill
    from mien.training.splits import check_unlabelled, split_up, with_unlabelled
    from mien.training.targets import heads_for

    check_file("--output", output, data)
    models = [EmotionClassifier(name) for name in teacher]
    student = combine(None, config, dict(parse_setting(text) for text in setting or ()))
    check_unlabelled(student)
    dataset = split_up(load(data, votes), student)
    heads = heads_for(dataset, votes=student.ferplus_weight > 0)
    with progress_bar() as progress:
        dataset = with_unlabelled(
            dataset,
            student,
            progress=lambda done, total: progress("reading images without labels", done, total),
        )
        soft = distill(models, dataset.split("train"), heads, views=views, progress=progress)
    soft.save(output)
    same = shlex.join(["--config", config, *(word for text in setting or () for word in ("--set", text))])
    typer.echo(f"wrote {output}: train with {same} --set teachers={output}")


@commands.command(
    epilog="Example: mien ensemble fer2013.csv --member runs/a --member runs/b --output models/both"
)
def ensemble(
    data: DataArgument,
    member: Annotated[list[str], typer.Option(help="A run or a model; two or more.", show_default=False)],
    output: Annotated[Path, output_option("Folder of the new model.")],
    storage: Annotated[
        Storage, typer.Option(help="Of the weights; int8 is a quarter of float32.")
    ] = Storage.FLOAT16,
    votes: VotesOption = None,
) -> None:
    """Join trained models into one that answers with the mean of their probabilities.

    Temperatures and the threshold of `uncertain` are fitted on images of the data that no member was trained on. The
    result is a model like any other, for `--model`; it takes the members' time together and cannot be trained further.
    """
    from mien.training.derived.ensemble import ensemble
    from mien.training.derived.folder import check_folder

    check_outside("--output", output, data)
    check_folder(output)
    with progress_bar() as progress:
        folder = ensemble(
            member, load(data, votes), output, name=output.name, storage=storage, progress=progress
        )
    typer.echo(f"wrote {folder}: try it with mien image PHOTO --model {folder}")


@commands.command(epilog="Example: mien quantize fer2013.csv --model runs/first --output models/first-int8")
def quantize(
    data: DataArgument,
    output: Annotated[Path, output_option("Folder of the new model.")],
    model: ModelOption = DEFAULT_MODEL,
    float_layers: Annotated[
        int, typer.Option(min=0, help="So many of the most sensitive convolutions stay in float32.")
    ] = 10,
    votes: VotesOption = None,
) -> None:
    """Make a model faster: one that calculates in int8 (post-training static quantization).

    About twice as fast on processors with VNNI, and a quarter of float32 in size. It says what that costs: how many
    answers change, how much accuracy is lost at most, and what it gains on this machine.
    """
    from mien.training.derived.folder import check_folder
    from mien.training.derived.quantize import quantize

    check_outside("--output", output, data)
    check_folder(output)
    with progress_bar() as progress:
        cost = quantize(
            model, load(data, votes), output, name=output.name, float_layers=float_layers, progress=progress
        )
    for line in cost.lines():
        typer.echo(line)
    typer.echo(f"wrote {output}: try it with mien image PHOTO --model {output}")
