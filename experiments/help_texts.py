"""Short English sentences with their German translations, from the help texts of LibreOffice.

The Debian packages ``libreoffice-help-en-us`` and ``libreoffice-help-de`` have the same HTML files
in both languages, and the same id at the same paragraph. Sentences are split by file, so that no
sentence is tested whose neighbours trained.
"""

import functools
import html
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ramet.errors import UsageError

FOLDER = Path("/usr/share/libreoffice/help")
ENGLISH, GERMAN = "en-US", "de"
MAX_WORDS = 8
# Of so many parts of the files, one has development sentences, and two have test sentences.
PARTS = 20
PART_NAMES = {0: "development", 1: "test", 2: "test"}
# How many pairs a release of the packages has at least and at most.
COUNTS = {"train": (9_000, 25_000), "development": (500, 2_000), "test": (700, 3_500)}

PARAGRAPH = re.compile(r'<(p|h[1-6])\b[^>]*?\bid="([^"]+)"[^>]*>(.*?)</\1>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")


class Pair(NamedTuple):
    """A sentence in both languages."""

    english: str
    german: str


class Corpus(NamedTuple):
    """Pairs by what they are for. No English sentence is in two of them."""

    train: list[Pair]
    development: list[Pair]
    test: list[Pair]


@functools.cache
def load() -> Corpus:
    """Read the installed help texts."""
    folders = [FOLDER / language / "text" for language in (ENGLISH, GERMAN)]
    for folder in folders:
        if not folder.is_dir():
            raise SystemExit(
                f"this experiment needs the help texts of LibreOffice, but there is no {folder}: "
                f"on Debian or Ubuntu, apt install libreoffice-help-en-us libreoffice-help-de"
            )
    english, german = folders
    names = sorted(path.relative_to(english).as_posix() for path in english.rglob("*.html"))
    pairs = {
        name: align((english / name).read_text(), (german / name).read_text())
        for name in names
        if (german / name).exists()
    }
    corpus = split(pairs)
    for part, (fewest, most) in COUNTS.items():
        check_count(part, len(getattr(corpus, part)), fewest, most)
    return corpus


def align(english: str, german: str) -> list[Pair]:
    """Return the short paragraphs that two pages have with the same id.

    >>> align('<p id="a">Open <b>it</b>.</p><p id="b">OK</p>', '<p id="a">&Ouml;ffnen.</p>')
    [Pair(english='Open it.', german='Öffnen.')]
    """
    mine, others = _read_paragraphs(english), _read_paragraphs(german)
    pairs = [Pair(text, others[name]) for name, text in mine.items() if name in others]
    return [pair for pair in pairs if pair.english != pair.german and all(map(_is_short, pair))]


def split(pairs: Mapping[str, Iterable[Pair]]) -> Corpus:
    """Split pairs by the files that they are from.

    A pair is kept once, and an English sentence in one part only: where it trains, or else where it
    tests.
    """
    parts: dict[str, dict[Pair, None]] = {part: {} for part in COUNTS}
    for name, its in pairs.items():
        parts[name_part(name)].update(dict.fromkeys(its))
    seen: set[str] = set()
    for part in ("train", "test", "development"):
        parts[part] = {pair: None for pair in parts[part] if pair.english not in seen}
        seen |= {pair.english for pair in parts[part]}
    return Corpus(*(list(parts[part]) for part in Corpus._fields))


def name_part(file: str) -> str:
    """Return what a file's sentences are for, which only depends on its name."""
    return PART_NAMES.get(zlib.crc32(file.encode()) % PARTS, "train")


def check_count(part: str, count: int, fewest: int, most: int) -> None:
    """Refuse a corpus of another size than what results were found with."""
    if not fewest <= count <= most:
        raise UsageError(
            f"the {part} sentences must be {fewest:,} to {most:,}, but these packages have "
            f"{count:,}; their pages may have another form now, so results would not be comparable"
        )


def _read_paragraphs(page: str) -> dict[str, str]:
    """Return the text of each paragraph and heading by its id."""
    return {
        name: " ".join(html.unescape(TAG.sub("", text)).split())
        for _, name, text in PARAGRAPH.findall(page)
    }


def _is_short(text: str) -> bool:
    return 1 <= len(text.split()) <= MAX_WORDS
