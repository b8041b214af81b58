"""The documentation site: it builds without a warning, loads nothing from elsewhere, and leaves no public name out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import needs_chromium, open_browser

import mien

pytest.importorskip("mkdocs", reason="needs mkdocs-material")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial"


def build(folder: Path, *, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", folder],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """What a browser fetches by itself when it opens a page: scripts, styles, pictures, frames."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        fetching = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload"}
        if tag == "link" and fetching & set(named.get("rel", "").split()):
            self.addresses.append(named.get("href", ""))
        elif "src" in named:
            self.addresses.append(named["src"])


def loads(page: Path) -> list[str]:
    parser = Loads()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser.addresses


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        found = loads(page)
        assert found
        assert not [address for address in found if re.match(r"(https?:)?//", address)], page
        assert 'data-md-component="source"' not in page.read_text(encoding="utf-8")  # it would ask GitHub
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"url\(['\"]?(https?:)?//", styles)


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert not [name for name in mien.__all__ if f'id="mien.{name}"' not in page]
    for name in ("recognize", "recognize_video"):
        assert f'id="mien.EmotionRecognizer.{name}"' in page
    assert "SettingsError" in page  # the drawn tree of errors


def test_what_lies_outside_of_docs_is_there_and_linked(site: Path) -> None:
    evaluation = (site / "explanation" / "evaluation.html").read_text(encoding="utf-8")
    assert 'href="../MODEL_CARD.html"' in evaluation
    assert 'href="../runs/mien-s/index.html"' in (site / "how-to" / "training.html").read_text(
        encoding="utf-8"
    )
    run = (site / "runs" / "mien-s" / "index.html").read_text(encoding="utf-8")
    assert "learning_rate" in run
    assert (site / "runs" / "mien-s" / "curves.png").is_file()
    notebook = "notebooks/mien_colab.ipynb"
    assert f'href="../{notebook}"' in (site / "how-to" / "training.html").read_text(encoding="utf-8")
    assert (site / notebook).read_bytes() == (ROOT / notebook).read_bytes()
    changes = (site / "CHANGELOG.html").read_text(encoding="utf-8")
    assert mien.__version__ in changes


def test_the_search_knows_the_pages(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {
        "index.html",
        "how-to/photos.html",
        "reference/api.html",
        "reference/cli.html",
        "MODEL_CARD.html",
    } <= places


@needs_chromium
@pytest.mark.parametrize("start", ["index.html", "runs/mien-s/index.html"])
def test_the_search_works_from_a_folder(site: Path, start: str) -> None:
    with open_browser() as browser:
        page = browser.new_page()
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((site / start).as_uri())
        page.click("[data-md-component=search-query]")
        page.keyboard.type("mosaic")
        first = page.locator(".md-search-result__link").first
        first.wait_for()
        first.click()
        page.wait_for_url(lambda url: start not in url)
        assert "mosaic" in page.locator("article").inner_text()
        assert not errors
        assert asked
        assert {address.partition(":")[0] for address in asked} <= {"file", "about", "data"}


DEAD = (
    "[nowhere](no-such-page.md)",
    "[nowhere](start.md#no-such-anchor)",
    "![nothing](no-such-picture.png)",
)


def build_pages(folder: Path, index: str) -> subprocess.CompletedProcess[str]:
    """The site's own settings, on two pages."""
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(f"# Home\n\n{index}\n")
    (folder / "docs" / "start.md").write_text("# Start\n")
    (folder / "README.md").write_text("# Nothing\n")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[0]
    settings = settings.replace("hooks: [docs/site_hooks.py]\n", "").replace(
        'base_path: ["."]', f"base_path: [{folder}]"
    )
    (folder / "mkdocs.yml").write_text(settings.replace("extra_css: [site.css]\n", ""))
    return build(folder / "site", config=folder / "mkdocs.yml")


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a page with every kind of dead link: each is a warning, and each warning counts."""
    done = build_pages(tmp_path_factory.mktemp("dead"), "\n\n".join(DEAD))
    assert done.returncode != 0
    assert f"Aborted with {len(DEAD)} warnings in strict mode" in done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DEAD[0], "no-such-page.md"),
        (DEAD[1], "no-such-anchor"),
        (DEAD[2], "no-such-picture.png"),
        ('--8<-- "README.md:no-such-section"', "no-such-section"),
    ],
)
def test_a_dead_link_fails_the_build(tmp_path: Path, refused: str, text: str, words: str) -> None:
    if text in DEAD:
        assert words in refused
        return
    done = build_pages(tmp_path, text)  # an error by itself, which ends the build
    assert done.returncode != 0
    assert words in done.stderr


def test_the_gallery_is_what_its_script_makes(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, DOCS / "make_gallery.py", tmp_path], check=True, capture_output=True, timeout=300
    )
    made, kept = (folder / "gallery.md" for folder in (tmp_path, TUTORIAL))

    # Probabilities may differ a little between machines.
    def read(page: Path) -> str:
        return re.sub(r"0\.\d+", "0.", page.read_text(encoding="utf-8"))

    assert read(made) == read(kept), "run python docs/make_gallery.py"
    assert {p.name for p in (tmp_path / "gallery").iterdir()} == {
        p.name for p in (TUTORIAL / "gallery").iterdir()
    }
    assert sum(p.stat().st_size for p in (TUTORIAL / "gallery").iterdir()) < 1_000_000
