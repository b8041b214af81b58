"""The page: everything inside, everything escaped, nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.output.html import Report

EVIL = '<script>alert("x")</script> & <img src=http://example.org/x.png>'


class Page(HTMLParser):
    """Tags, their attributes and the text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


def assert_self_contained(path: Path) -> None:
    """Every tag is closed, and nothing on the page is fetched from anywhere or runs."""
    page = Page(path)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not {"href", "srcset", "onload", "onerror"} & set(attributes)
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in text
    assert all(attributes["alt"] for attributes in page.images())


def png(path: Path, width: int) -> Path:
    cv2.imwrite(str(path), np.zeros((40, width, 3), np.uint8))
    return path


@pytest.fixture
def page(tmp_path: Path) -> Path:
    report = Report(EVIL, EVIL)
    report.heading(EVIL)
    report.paragraph(EVIL)
    report.table(("class", EVIL), [("happy", 1), (EVIL, 2.5)])
    report.facts([("command", EVIL)])
    report.chart(png(tmp_path / "small.png", 300), EVIL, EVIL)
    report.chart(png(tmp_path / "large.png", 1200), "wide")
    report.faces([np.full((48, 48), 90, np.uint8)], [EVIL + "\nsecond line"])
    report.write(tmp_path / "page.html")
    return tmp_path / "page.html"


def test_all_text_is_escaped_and_nothing_comes_from_elsewhere(page: Path) -> None:
    assert_self_contained(page)
    # title, h1, lead, heading, paragraph, two cells, fact, caption of the chart and of the face.
    assert Page(page).text.count(EVIL) == 10


def test_pictures_are_inside_and_whole(page: Path) -> None:
    import base64

    pictures = []
    for attributes in Page(page).images():
        data = base64.b64decode(str(attributes["src"]).partition(",")[2])
        pictures.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    assert [picture.shape for picture in pictures] == [(40, 300, 3), (40, 1200, 3), (48, 48)]
    assert (pictures[2] == 90).all()
    assert [attributes["class"] for attributes in Page(page).images()] == ["chart", "chart large", ""]


def test_lines_of_a_caption_are_kept(page: Path) -> None:
    assert "second line" in Page(page).text.split("\n")
    assert "white-space: pre-line" in page.read_text(encoding="utf-8")


def test_a_page_without_a_lead(tmp_path: Path) -> None:
    Report("title").write(tmp_path / "page.html")
    assert_self_contained(tmp_path / "page.html")
    assert "lead" not in [attributes.get("class") for _, attributes in Page(tmp_path / "page.html").tags]


def test_a_caption_a_face(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Report("title").faces([np.zeros((4, 4), np.uint8)], [])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Report("title").write(tmp_path / "nowhere" / "page.html")
