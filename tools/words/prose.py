"""Rules about text: words to distrust, and lines that are too long."""

import ast
import re
from collections.abc import Iterator, Sequence

from tools.words.source import Place, Source, definitions, is_private

DISTRUSTED = ("told", "whose", "nobody", "somebody", "so many", "handed", "is to be had")
LONGEST_LINE = 140


def pattern(phrase: str) -> re.Pattern[str]:
    """Match a phrase, also across the end of a line or of a comment's line."""
    return re.compile(r"\b" + r"\s+(?:#\s*)?".join(phrase.split()) + r"\b", re.IGNORECASE)


PATTERNS = {phrase: pattern(phrase) for phrase in DISTRUSTED}


def find_phrase(sources: Sequence[Source], phrase: str) -> list[Place]:
    """Find a phrase anywhere in the files."""
    return [
        Place(source.path, line, source.lines[line - 1].strip())
        for source in sources
        for match in PATTERNS[phrase].finditer(source.text)
        for line in [source.text.count("\n", 0, match.start()) + 1]
    ]


def find_public_phrases(sources: Sequence[Source]) -> list[Place]:
    """Find each distrusted phrase in pages and public docstrings."""
    return [
        Place(source.path, first + text.count("\n", 0, match.start()), f"{match[0]!r} in {name}")
        for source in sources
        for name, first, text in _public_texts(source)
        for expression in PATTERNS.values()
        for match in expression.finditer(text)
    ]


def _public_texts(source: Source) -> Iterator[tuple[str, int, str]]:
    """Yield pages and public docstrings: what it is of, the line it begins at, the text."""
    if source.is_page:
        yield "a page", 1, source.text
    if not source.is_python or is_private(source.module):
        return
    for name, node in [("the module", source.tree), *definitions(source.tree)]:
        if not is_private(name) and (text := ast.get_docstring(node, clean=False)):
            yield name, node.body[0].lineno, text


def find_long_lines(sources: Sequence[Source]) -> list[Place]:
    """Find lines of docs that are too long, outside of tables, code and links alone on a line."""
    places = []
    for source in sources:
        if not (source.is_page and source.path.startswith("docs/")):
            continue
        fenced = False
        for number, line in enumerate(source.lines, 1):
            text = line.strip()
            fenced ^= text.startswith("```")
            breakable = not fenced and not text.startswith("|") and not _is_link(text)
            if breakable and len(line) > LONGEST_LINE:
                places.append(Place(source.path, number, f"{len(line)} characters"))
    return places


def _is_link(text: str) -> bool:
    return re.fullmatch(r"(?:[-*] )?!?\[[^]]*\]\([^)]*\)\W?", text) is not None
