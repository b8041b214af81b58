"""An HTML report: one self-contained file that opens offline and prints well."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_atomically
from mien._core.opencv import cv2
from mien._core.text import Table
from mien.output.palette import LOOK

_LARGE = 1000  # pixels; a chart that is wider is not shrunk to a narrow screen

"""Colours and type of the reports and of the server's page."""

_STYLE = """
* { box-sizing: border-box; }
body { color: var(--ink); background: var(--ground); max-width: 64rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.8rem; line-height: 1.2; letter-spacing: -.02em; margin-bottom: .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin-top: 2.4rem; letter-spacing: -.01em; }
p { max-width: 46rem; } .lead { color: var(--soft); margin-top: 0; }
a { color: var(--accent); } :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } th { border-bottom: 2px solid var(--edge); }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .2rem 1.2rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: .8rem 0; } img.chart { width: auto; max-width: min(100%, 42rem); height: auto; border-radius: .5rem; }
.faces { display: flex; flex-wrap: wrap; gap: .8rem; }
.faces figure { margin: 0; width: 9.5rem; break-inside: avoid; }
.faces img { width: 6rem; height: 6rem; image-rendering: pixelated; border-radius: .4rem; }
figcaption { font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere; white-space: pre-line; }
button { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--edge); border-radius: .5rem;
  cursor: pointer; } button:hover { background: var(--track); }
.controls button { min-width: 2.4rem; margin-right: .3rem; padding: .15rem .6rem; }
.controls .range { color: var(--soft); white-space: nowrap; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .85rem; } .legend svg { vertical-align: -2px; }
.timeline svg { display: block; width: 100%; min-width: 34rem; touch-action: pan-x pan-y; }
.timeline text { font: 13px system-ui, sans-serif; fill: var(--soft); }
.timeline figcaption { font-size: .9rem; min-height: 1.3em; } .read { margin-left: 1rem; color: var(--soft); }
@media (max-width: 40rem) {
  body { margin: 1rem auto; } th, td { padding: .25rem .4rem; font-size: .85rem; }
  td:not(:first-child) { white-space: nowrap; } td:first-child { min-width: 4rem; }
  /* What is too small to read when shrunk to a telephone is moved sideways instead. */
  img.large { max-width: none; width: 34rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
}
@media print {
  body { margin: 0; max-width: none; font-size: 11pt; background: none; } h2 { break-after: avoid; }
  .controls { display: none; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .timeline svg { min-width: 0; } .timeline .wide { overflow: visible; }
  figure, tr, dl { break-inside: avoid; } .wide { overflow: visible; }
  img.chart { max-height: 12cm; width: auto; max-width: 100%; }
}
"""


class Report:
    """Collects the parts of a page from top to bottom; all text is escaped.

    Args:
        title: heading of the page.
        lead: a line below it, such as the data.
        thumbnails: whether pictures of faces are shown; without, their captions are.
    """

    def __init__(self, title: str, lead: str = "", *, thumbnails: bool = True) -> None:
        self._title, self._thumbnails = title, thumbnails
        self._scripts: list[str] = []
        self._style, self._media = "", ""
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        if lead:
            self._parts.append(f'<p class="lead">{html.escape(lead)}</p>')

    def heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table; the first column is aligned left, the others right."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
        )
        self._parts.append(
            f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def add(self, table: Table) -> None:
        """Add a table of a report, below its title where it has one."""
        if table.title:
            self.heading(table.title)
        self.table(table.columns, table.rows)

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Add names with their values, which may be long."""
        items = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in pairs)
        self._parts.append(f"<dl>{items}</dl>")

    def chart(self, png: Path, alt: str, caption: str = "") -> None:
        """Add a PNG file, copied into the page; `alt` describes it for screen readers, `caption` for all."""
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        data = png.read_bytes()
        image = _img(data, alt, "chart large" if _width(data) > _LARGE else "chart")
        self._parts.append(f'<figure class="chart"><div class="wide">{image}</div>{below}</figure>')

    def faces(self, images: Iterable[NDArray[np.uint8]], captions: Iterable[str]) -> None:
        """Add small pictures, (h, w) uint8 grey or (h, w, 3) RGB, a caption below each; its lines are kept."""
        figures = [
            f"<figure>{_img(_png(image), caption) if self._thumbnails else ''}"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for image, caption in zip(images, captions, strict=True)
        ]
        self._parts.append(f'<div class="faces">{"".join(figures)}</div>')

    def pictures(self, images: Iterable[NDArray[np.uint8]], captions: Iterable[str]) -> None:
        """Add frames of clips, (h, w, 3) uint8 RGB, a caption below each; its lines are kept."""
        figures = [
            '<figure style="width: 15rem; margin: 0; break-inside: avoid">'
            f"{_img(_jpeg(image), caption, kind='frame', media='jpeg') if self._thumbnails else ''}"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for image, caption in zip(images, captions, strict=True)
        ]
        self._parts.append(
            f'<div style="display: flex; flex-wrap: wrap; gap: .8rem">{"".join(figures)}</div>'
        )

    def groups(self, groups: Iterable[tuple[Iterable[NDArray[np.uint8]], Iterable[str]]]) -> None:
        """Add groups of pictures, one frame per group; images and captions as in `faces`."""
        self._parts.append('<div style="display: flex; flex-wrap: wrap; gap: .8rem">')
        for images, captions in groups:
            self._parts.append(
                '<div style="border: 1px solid var(--line); border-radius: .5rem; padding: .5rem">'
            )
            self.faces(images, captions)
            self._parts.append("</div>")
        self._parts.append("</div>")

    def widget(
        self, script: str, data: Mapping[str, object], instead: str, *, style: str = "", plays: bool = False
    ) -> None:
        """Add a script's drawing: it reads the JSON in the element before it, and draws into the one before that.

        `instead` is shown if scripts do not run. The page's policy allows only scripts added here, and a clip only
        where the drawing `plays` one.
        """
        self._style += style
        if plays:
            self._media = "media-src 'self' file:; "
        text = json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
        self._scripts.append(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"))
        self._parts.append(
            f'<div class="widget">{html.escape(instead)}</div>'
            f'<script type="application/json">{text}</script>\n<script>{script}</script>'
        )

    def download(self, name: str, kind: str, content: str, text: str) -> None:
        """Add a link that saves `content`, which is inside the page, as a file."""
        data = base64.b64encode(content.encode("utf-8")).decode("ascii")
        self._parts.append(
            f'<p><a download="{html.escape(name)}" href="data:{kind};charset=utf-8;base64,{data}">'
            f"{html.escape(text)}</a></p>"
        )

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            OSError: the file cannot be written.
        """
        body, style = "\n".join(self._parts), LOOK.read_text(encoding="utf-8") + _STYLE + self._style
        scripts = " ".join(f"'sha256-{digest}'" for digest in dict.fromkeys(self._scripts)) or "'none'"
        write_atomically(
            path,
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            # Nothing from outside, even if some text should try.
            '<meta http-equiv="Content-Security-Policy" '
            f"content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f'{self._media}script-src {scripts}">\n'
            f"<title>{html.escape(self._title)}</title>\n<style>{style}</style>\n</head>\n"
            f"<body>\n{body}\n</body>\n</html>\n",
        )


def _width(png: bytes) -> int:
    """In pixels: a PNG file's header has it at byte 16."""
    return int.from_bytes(png[16:20], "big")


def _png(image: NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(".png", bgr)
    if not done:
        raise ValueError(f"image of shape {image.shape} {image.dtype}: expected (h, w) or (h, w, 3) uint8")
    return data.tobytes()


def picture_url(image: NDArray[np.uint8]) -> str:
    """A picture, (h, w) uint8 grey or (h, w, 3) RGB, as the address of itself, for a script."""
    return f"data:image/png;base64,{base64.b64encode(_png(image)).decode('ascii')}"


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise ValueError(f"image of shape {image.shape} {image.dtype}: expected (h, w, 3) uint8")
    return data.tobytes()


def _img(picture: bytes, alt: str, kind: str = "", media: str = "png") -> str:
    data = base64.b64encode(picture).decode("ascii")
    style = ' style="width: 100%"' if kind == "frame" else ""
    return f'<img class="{kind}"{style} alt="{html.escape(alt)}" src="data:image/{media};base64,{data}">'
