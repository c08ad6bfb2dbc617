"""README.md and the pages of docs/, read as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted((ROOT / ".github").glob("*.md")), *sorted(DOCS.rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block of code: its language, its text, and the heading that it stands under."""

    language: str
    text: str
    section: str


def blocks(path: Path | str, language: str = "", section: str = "") -> list[Block]:
    """Return the blocks of a page, in their order; of one language and one section where named.

    ``path`` is relative to the root of the project.
    """
    found, heading, is_heading = [], "", False
    for token in MarkdownIt().parse((ROOT / path).read_text()):
        if is_heading:
            heading = token.content
        is_heading = token.type == "heading_open"
        if token.type == "fence":
            found.append(Block(token.info.strip(), token.content, heading))
    return [
        block
        for block in found
        if language in ("", block.language) and section in ("", block.section)
    ]


def code(path: Path | str, language: str = "", section: str = "") -> list[str]:
    """Return the text of these blocks alone."""
    return [block.text for block in blocks(path, language, section)]
