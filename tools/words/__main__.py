"""Print what is left of each rule, and exit with 1 if that is more than its limit."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tools import words
from tools.words import circles, code, prose, public
from tools.words.source import Place, Source, read_sources


class Rule(NamedTuple):
    """How to find what is against it, and how many places may be left."""

    find: Callable[[Sequence[Source]], list[Place]]
    limit: int = 0


RULES = {
    **{word: Rule(partial(prose.find_phrase, phrase=word), 10) for word in prose.DISTRUSTED},
    "words": Rule(prose.find_public_phrases),
    "participles": Rule(code.find_participles, 19),
    "docstrings": Rule(public.find_missing_docstrings),
    "arguments": Rule(public.find_missing_arguments),
    "lines": Rule(prose.find_long_lines),
    "functions": Rule(code.find_long_functions),
    "files": Rule(code.find_long_files),
    "circles": Rule(circles.find_circles),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.words",
        description=words.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", metavar="RULE", choices=RULES, help="list the places of a rule")
    parser.add_argument("--json", action="store_true", help="print for programs")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository")
    options = parser.parse_args(arguments)
    sources = read_sources(options.root)
    chosen = [options.list] if options.list else list(RULES)
    found = {name: RULES[name].find(sources) for name in chosen}
    if options.json:
        show(json.dumps({name: as_data(name, found[name]) for name in chosen}, indent=1))
    elif options.list:
        show("\n".join(map(str, found[options.list])))
    else:
        show("\n".join(as_line(name, len(found[name])) for name in chosen))
    return int(any(len(places) > RULES[name].limit for name, places in found.items()))


def show(text: str) -> None:
    """Print, until the reader of a pipe has enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Or Python fails when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def as_data(name: str, places: Sequence[Place]) -> dict[str, object]:
    listed = [place._asdict() for place in places]
    return {"count": len(places), "limit": RULES[name].limit, "places": listed}


def as_line(name: str, count: int) -> str:
    limit = RULES[name].limit
    return f"{name:12} {count:5}  limit {limit:2}  {'above' if count > limit else 'kept'}"


if __name__ == "__main__":
    sys.exit(main())
