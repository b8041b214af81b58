"""MkDocs hooks for this repository; mkdocs.yml names this file under `hooks`.

Some pages are where GitHub readers look for them: the changelog and the model card at the top, not in docs/. These
hooks add them to the site and rewrite links to them, so that one text works in both places. Each training run's
folder gets a page with its curves and settings.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

OUTSIDE = {
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "MODEL_CARD.md": "MODEL_CARD.md",
    "SECURITY.md": "SECURITY.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/peers/README.md": "peers.md",
}
"""File of the repository -> page of the site."""

COPIED = ("notebooks/mien_colab.ipynb",)
"""Files outside of docs/ that pages link to. The site has a copy, because it may be hosted without the repository."""

_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)\s]+)(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside of docs/, and one page for each run in docs/runs."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=turn_links(text, source)))
    for source in COPIED:
        files.append(File.generated(config, source, abs_src_path=str(ROOT / source)))
    for run in sorted((ROOT / "docs" / "runs").iterdir()):
        files.append(File.generated(config, f"runs/{run.name}/index.md", content=run_page(run)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page in docs/; generated pages already have theirs rewritten."""
    if page.file.generated_by is not None:
        return markdown
    return turn_links(markdown, f"docs/{page.file.src_uri}")


def turn_links(text: str, source: str) -> str:
    """Links that work in the repository -> links that work on the site.

    Args:
        text: Markdown.
        source: the file's path in the repository, "docs/audit.md".
    """
    folder = (ROOT / source).parent
    depth = 0 if source in OUTSIDE else source.count("/") - 1

    def turn(match: re.Match[str]) -> str:
        path, mark, anchor = match[2].partition("#")
        target = (folder / path).resolve()
        if not target.exists():
            return match[0]  # MkDocs reports it
        inside = target.relative_to(ROOT).as_posix()
        return f"{match[1]}{_on_site(inside, depth)}{mark}{anchor}{match[3]}"

    return _LINK.sub(turn, text)


def _on_site(inside: str, depth: int) -> str:
    """A path in the repository -> the address of its page, relative to a page `depth` folders down."""
    up = "../" * depth
    if inside in OUTSIDE:
        return up + OUTSIDE[inside]
    if inside == "README.md":
        return f"{up}index.md"
    if inside in COPIED:
        return up + inside
    if not inside.startswith("docs/"):
        return inside  # not on the site: MkDocs says so
    page = inside.removeprefix("docs/")
    return f"{up}{page}/index.md" if (ROOT / inside).is_dir() else up + page


def run_page(run: Path) -> str:
    """A page for a folder of docs/runs: its curves and the settings that were used."""
    settings = (run / "config.toml").read_text(encoding="utf-8")
    return (
        f"# Run {run.name}\n\n"
        "![Loss and accuracy against the epoch](curves.png)\n\n"
        f"## Settings\n\n```toml\n{settings}```\n\n"
        "Every epoch: [history.csv](history.csv).\n"
    )
