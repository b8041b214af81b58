"""The command `agree`: codes of people against mien's results, or against each other."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import INPUT, OUTPUT, ReportFormat, ReportFormatOption, ThumbnailsOption, output_option
from mien.cli.output_file import check_no_input, open_output
from mien.cli.support import check_hidden, say_written

if TYPE_CHECKING:
    from mien.agreement.agreement import Agreement

commands = typer.Typer()

FIGURES = "Figures"
_STEP = 0.1  # of mien.agreement.agreement, which loads numpy
_ENDINGS = (".json", ".csv")


def _file(help: str, panel: str = INPUT, name: str | None = None) -> Any:
    words = (name,) if name else ()
    return typer.Option(*words, help=help, show_default=False, rich_help_panel=panel)


CodesArgument = Annotated[
    Path,
    typer.Argument(
        help="Codes of the first person: CSV (clip, start, end, label), .eaf, .TextGrid, .vtt, .srt, an export of "
        "BORIS, or a folder of such files.",
        show_default=False,
    ),
]
ResultsArgument = Annotated[
    Path | None,
    typer.Argument(
        help="What mien video wrote with --output or --episodes, or codes of a second person.",
        show_default=False,
    ),
]
MoreArgument = Annotated[
    list[Path] | None, typer.Argument(help="Codes of further people.", show_default=False)
]
MapOption = Annotated[
    Path | None, _file('Their labels and mien\'s: a .csv, .toml or .json file; "" drops one.', name="--map")
]
TierOption = Annotated[
    list[str] | None, _file('Of ELAN and Praat, read only these tiers, such as "Emotion*".')
]
ClipsOption = Annotated[
    Path | None, _file("Folder of the clips: how long they are, and pictures for --report.")
]
StepOption = Annotated[
    float, typer.Option(help="Seconds of a step.", min=0.001, max=3600, rich_help_panel=FIGURES)
]
ThresholdOption = Annotated[
    bool,
    typer.Option(
        "--threshold",
        help="Choose the upper threshold of episodes on half of the clips, by the hash of their names, and "
        "measure on the other half; RESULTS are rows of frames.",
        rich_help_panel=FIGURES,
    ),
]


@commands.command(epilog="Example: mien agree coder.csv faces.csv --report agreement.html")
def agree(
    codes: CodesArgument,
    results: ResultsArgument,
    more: MoreArgument = None,
    *,
    label_map: MapOption = None,
    tier: TierOption = None,
    clips: ClipsOption = None,
    step: StepOption = _STEP,
    threshold: ThresholdOption = False,
    format: ReportFormatOption = ReportFormat.TABLE,
    output: Annotated[Path | None, output_option("Write the figures: a .json or .csv file.")] = None,
    report: Annotated[Path | None, _file("Write one HTML page that works offline.", OUTPUT)] = None,
    no_thumbnails: ThumbnailsOption = False,
) -> None:
    """Measure how well codes of clips agree: people with mien, or people with each other."""
    from mien.agreement.agreement import measure_agreement

    if results is None:  # Typer before 0.17 asks for no second one where a third may follow
        raise typer.BadParameter("missing: expected two files or folders of codes", param_hint="results")
    inputs = [codes, results, *(more or [])]
    _check(inputs, label_map, clips, output, report)
    check_hidden("--no-thumbnails", no_thumbnails, {"--report": report})
    try:
        found = measure_agreement(
            codes, results, *(more or []), step=step, label_map=label_map, tiers=tier or (), clips=clips,
            tune_threshold=threshold,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--threshold" if threshold else None) from None
    if output is not None:
        _write(found, output)
    if report is not None:
        _write_page(found, report, clips, thumbnails=not no_thumbnails)
    if output is None or format is ReportFormat.JSON:
        _show(found, as_json=format is ReportFormat.JSON)


def _check(
    inputs: Sequence[Path],
    label_map: Path | None,
    clips: Path | None,
    output: Path | None,
    report: Path | None,
) -> None:
    """Refuse, before anything is read, what would write over something or cannot be written."""
    for option, target, endings in (("--output", output, _ENDINGS), ("--report", report, (".html", ".htm"))):
        if target is None:
            continue
        if target.suffix.lower() not in endings and (not target.exists() or target.is_file()):
            raise typer.BadParameter(
                f"{target}: expected a name that ends in {' or '.join(endings)}", param_hint=option
            )
        folders = [path for path in (*inputs, clips) if path is not None and path.is_dir()]
        files = chain.from_iterable(folder.iterdir() for folder in folders)
        check_no_input(option, target, [*inputs, *([label_map] if label_map else []), *files])
    if output is not None and report is not None and output.resolve() == report.resolve():
        raise typer.BadParameter(f"{report}: is --output, too; name another file", param_hint="--report")


def _write(found: Agreement, output: Path) -> None:
    from mien.agreement.agreement import ROW_COLUMNS
    from mien.output.decimals import to_json
    from mien.output.rows import write_rows

    rows = list(found.rows())
    with open_output(output, binary=False) as stream:
        if output.suffix.lower() == ".json":
            stream.write(to_json(found.to_dict(), indent=2) + "\n")
        else:
            write_rows(stream, "csv", rows, ROW_COLUMNS)
    say_written(f"{len(rows):,} figures", output)


def _write_page(found: Agreement, report: Path, clips: Path | None, *, thumbnails: bool) -> None:
    from mien.agreement.agreement_page import write_agreement_page

    report.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["mien", *sys.argv[1:]])
    write_agreement_page(found, report, clips=clips, command=command, thumbnails=thumbnails)
    say_written("report", report)


def _show(found: Agreement, *, as_json: bool) -> None:
    from mien.output.decimals import to_json

    typer.echo(to_json(found.to_dict(), indent=2) if as_json else found.to_text())
