"""Hooks of mkdocs: navigation from docs/README.md, and pages of the root of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
INDEX = "README.md"
#: File in the root -> its page in the site.
PAGES = {
    "README.md": "start.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}


def navigation() -> list[Any]:
    """The sections of the index, each with its pages; then the pages that it does not list."""
    nav: list[Any] = [{"Manual": INDEX}]
    listed = {INDEX}
    pages: list[Any] = []
    for line in (DOCS / INDEX).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            pages = []
            nav.append({line[3:]: pages})
        elif line.lstrip().startswith("* "):
            for title, target in re.findall(r"\[([^\]]+)\]\(([^)#]+\.md)\)", line):
                page = PAGES[target[3:]] if target.startswith("../") else target
                if page not in listed:
                    listed.add(page)
                    pages.append({title: page})
    found = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    further = [page for page in (*found, *PAGES.values()) if page not in listed]
    return [*nav, {"Further pages": further}] if further else nav


def on_config(config: Any) -> Any:
    """Set the navigation."""
    config.nav = navigation()
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        for other, target in PAGES.items():
            text = text.replace(f"]({other}", f"]({target}")
        files.append(File.generated(config, page, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to the root lead to its pages in the site."""
    up = "../" * page.file.src_uri.count("/")
    for name, target in PAGES.items():
        outside = re.escape(f"]({up}../{name}")
        markdown = re.sub(outside, f"]({up}{target}", markdown)
    return markdown
