"""Run the Python snippets of Markdown files: each file's in order, as one program.

python -m tools.snippets README.md docs
python -m tools.snippets --print-first README.md | python -
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SNIPPET = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def snippets(page: Path) -> list[str]:
    """Return a page's snippets, each at the line it stands at, so that tracebacks point there."""
    text = page.read_text()
    return ["\n" * text[: m.start(1)].count("\n") + m[1] for m in SNIPPET.finditer(text)]


def execute(page: Path) -> int:
    """Run a page's snippets in a directory of their own; return how many there were."""
    namespace = {"__name__": "__main__"}
    found = snippets(page)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for snippet in found:
            exec(compile(snippet, str(page), "exec"), namespace)  # noqa: S102 - the point
    return len(found)


def pages(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.md")) if path.is_dir() else [path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--print-first", action="store_true", help="print instead of running")
    options = parser.parse_args()
    if options.print_first:
        sys.stdout.write(snippets(options.paths[0])[0])
        return
    sys.path.insert(0, os.fspath(Path.cwd()))
    for page in pages(options.paths):
        print(f"{page}: {execute(page.resolve())} snippets ran")


if __name__ == "__main__":
    main()
