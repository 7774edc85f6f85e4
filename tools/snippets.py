"""Run the Python snippets of Markdown files: each file's in order, as one program.

    python -m tools.snippets README.md docs
    python -m tools.snippets --print-first README.md | python -

A block of `text` behind a snippet is what the snippet prints, and must be so.
"""

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PRINTED = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Snippet(NamedTuple):
    """Code, at the line it stands at so that tracebacks point there, and what it should print."""

    code: str
    printed: str | None


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text()
    found = list(SNIPPET.finditer(text))
    ends = [*(snippet.start() for snippet in found), len(text)][1:]
    return [
        Snippet("\n" * text[: snippet.start(1)].count("\n") + snippet[1], printed and printed[1])
        for snippet, end in zip(found, ends, strict=True)
        for printed in [PRINTED.search(text, snippet.end(), end)]
    ]


def execute(page: Path) -> int:
    """Run a page's snippets in a directory of their own; return how many there were."""
    namespace = {"__name__": "__main__"}
    found = snippets(page)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for snippet in found:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(snippet.code, str(page), "exec"), namespace)  # noqa: S102 - the point
            if snippet.printed is not None and out.getvalue() != snippet.printed:
                sys.exit(
                    f"{page} says that a snippet prints\n{snippet.printed}but it prints\n"
                    f"{out.getvalue()}"
                )
    return len(found)


def pages(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.md")) if path.is_dir() else [path]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--print-first", action="store_true", help="print instead of running")
    options = parser.parse_args()
    if options.print_first:
        sys.stdout.write(snippets(options.paths[0])[0].code)
        return
    sys.path.insert(0, os.fspath(Path.cwd()))
    for page in pages(options.paths):
        print(f"{page}: {execute(page.resolve())} snippets ran")


if __name__ == "__main__":
    main()
