"""README.md and the pages of docs/, read as Markdown."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted((ROOT / ".github").glob("*.md")), *sorted(DOCS.rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block of code: where it stands, under which heading, its language and its text."""

    page: str
    line: int
    section: str
    language: str
    text: str


def blocks(path: Path | str, language: str = "", section: str = "") -> list[Block]:
    """Return the blocks of a page, in their order; of one language and one section where named.

    ``path`` is relative to the root of the project.
    """
    page = (ROOT / path).relative_to(ROOT).as_posix()
    found, heading, is_heading = [], "", False
    for token in MarkdownIt().parse((ROOT / path).read_text()):
        if is_heading:
            heading = token.content
        is_heading = token.type == "heading_open"
        if token.type == "fence":
            line = token.map[0] + 1
            found.append(Block(page, line, heading, token.info.strip(), token.content))
    return [
        block
        for block in found
        if language in ("", block.language) and section in ("", block.section)
    ]


def code(path: Path | str, language: str = "", section: str = "") -> list[str]:
    """Return the text of these blocks alone."""
    return [block.text for block in blocks(path, language, section)]


def commands(path: Path | str, section: str = "") -> list[tuple[list[str], str]]:
    """Return the words of each command of a terminal, and the answer that stands below it."""
    parts = re.split(r"^\$ ", "".join(code(path, "console", section)), flags=re.MULTILINE)
    split = [part.partition("\n") for part in parts if part]
    return [(shlex.split(command), answer.strip()) for command, _, answer in split]


def run(text: str, **names: object) -> ModuleType:
    """Run a block of Python, as a module in which these names are known already."""
    module = ModuleType("block")
    vars(module).update(names)
    exec(compile(text, "<a block of code>", "exec", dont_inherit=True), vars(module))
    return module


def read_by_tests() -> Iterator[Block]:
    """Yield each block that a test reads, by a call of ``blocks``, ``code`` or ``commands``.

    The call names the page, the language and the heading by literals or constants.
    """
    pages = {page.relative_to(ROOT).as_posix() for page in PAGES}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = {
            target.id: statement.value
            for statement in tree.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(tree):
            name = isinstance(call, ast.Call) and getattr(call.func, "id", "")
            if name in {"blocks", "code", "commands"}:
                nodes = [constants.get(getattr(node, "id", ""), node) for node in call.args]
                words = [node.value for node in nodes if isinstance(node, ast.Constant)]
                if words and words[0] in pages and len(words) == len(nodes):
                    language = ["console"] if name == "commands" else []
                    yield from blocks(words[0], *language, *words[1:])
