"""The core has a ceiling: whoever needs more lines deletes others first.

The core is all of ``accounts`` but its edges; ``remote`` is one, for services that have no logins
of their own. What ends a login has to be read as a whole by those who trust it with their users,
and each rule there is has to hold beside every other.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

import accounts

ROOT = Path(accounts.__file__).parent
EDGES = {"api", "admin", "pages", "management", "migrations", "remote"}
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def lines_of_code(source: str) -> int:
    """Count lines without the blank ones, comments and docstrings."""
    texts = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in LAYOUT and token.string
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - texts)


def test_a_line_of_code_is_no_blank_no_comment_and_no_docstring():
    assert (
        lines_of_code('"""Text\n\nand text."""\n\n# why\ndef f():\n    """Do."""\n    g(\n\n)\n')
        == 3
    )


@pytest.mark.parametrize(("part", "ceiling"), [("", 2_900), ("services", 1_000)])
def test_the_core_is_no_larger_than_its_ceiling(part, ceiling):
    sizes = {
        str(path.relative_to(ROOT)): lines_of_code(path.read_text())
        for path in (ROOT / part).rglob("*.py")
        if path.relative_to(ROOT).parts[0] not in EDGES
    }
    assert sum(sizes.values()) <= ceiling, sizes
