"""A page for people: one HTML file with everything inside, that opens without a network and prints well."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #202020; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
.lead { color: #555; margin-top: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; } th { border-bottom: 2px solid #888; }
img.chart { max-width: 100%; height: auto; }
.faces { display: flex; flex-wrap: wrap; gap: .8rem; }
.faces figure { margin: 0; width: 8.5rem; break-inside: avoid; }
.faces img { width: 6rem; height: 6rem; image-rendering: pixelated; }
figcaption { font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
"""


class Report:
    """Collects the parts of a page from top to bottom; all text is escaped.

    Args:
        title: heading of the page.
        lead: a line below it, such as what was looked at.
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{html.escape(lead)}</p>']

    def heading(self, text: str) -> None:
        """Begin a section."""
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

    def chart(self, png: Path, alt: str) -> None:
        """Add a PNG file, copied into the page; `alt` says what it shows."""
        self._parts.append(_img(png.read_bytes(), alt, "chart"))

    def faces(self, images: Iterable[NDArray[np.uint8]], captions: Iterable[str]) -> None:
        """Add small pictures, (h, w) uint8 grey each, with a caption below every one."""
        figures = [
            f"<figure>{_img(_png(image), caption)}<figcaption>{html.escape(caption)}</figcaption></figure>"
            for image, caption in zip(images, captions, strict=True)
        ]
        self._parts.append(f'<div class="faces">{"".join(figures)}</div>')

    def groups(self, groups: Iterable[tuple[Iterable[NDArray[np.uint8]], Iterable[str]]]) -> None:
        """Add pictures that belong together, in a frame a group; images and captions as in `faces`."""
        self._parts.append('<div style="display: flex; flex-wrap: wrap; gap: .8rem">')
        for images, captions in groups:
            self._parts.append('<div style="border: 1px solid #ddd; border-radius: 4px; padding: .5rem">')
            self.faces(images, captions)
            self._parts.append("</div>")
        self._parts.append("</div>")

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            OSError: the file cannot be written.
        """
        body = "\n".join(self._parts)
        path.write_text(
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n{body}\n</body>\n</html>\n",
            encoding="utf-8",
        )


def _png(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", image)
    if not done:
        raise ValueError(f"image of shape {image.shape} {image.dtype}: expected (h, w) uint8")
    return data.tobytes()


def _img(png: bytes, alt: str, kind: str = "") -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img class="{kind}" alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
