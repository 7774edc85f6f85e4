"""Write docs/rooms.md: each file of the code with its first line, and the layers of imports.

    python -m tools.rooms            # writes the page
    python -m tools.rooms --check    # exits 1 if the page is out of date

A package is described by the docstring of its ``__init__.py``.
"""

import argparse
import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PAGE = Path("docs/rooms.md")
FOLDERS = ("src/ramet", "tools", "benchmarks", "experiments", "examples")

INTRODUCTION = """\
# Rooms

A room is a package or a module of the code. This page lists every one, with the first line of its
docstring. How they work together is in [the architecture](architecture.md). The page is generated:
`python -m tools.rooms` writes it, and `make check` fails when it is out of date.
"""

LAYERS = """\
## Who may import whom

A room imports only rooms below it. Rooms on the same line do not import each other. import-linter
checks this.
"""


def describe(path: Path) -> str:
    """Return the first line of a module's docstring, or "" if it has none."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.partition("\n")[0].replace("``", "`")


def list_rooms(folder: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield what a folder holds, indented by its depth: its own files first, then its packages."""
    indent = "  " * depth
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield f"{indent}{path.name}", describe(path)
    for package in sorted(folder.glob("*/__init__.py")):
        yield f"{indent}{package.parent.name}/", describe(package)
        yield from list_rooms(package.parent, depth + 1)


def draw_tree(root: Path, folder: str) -> str:
    rooms = list(list_rooms(root / folder))
    width = max((len(name) for name, _ in rooms), default=0)
    lines = (f"{name:{width}}  {says}".rstrip() for name, says in rooms)
    return f"## `{folder}`\n\n" + fence(lines)


def draw_layers(root: Path) -> str:
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return LAYERS + "\n" + fence(layer.replace(" | ", "   ") for layer in layers)


def fence(lines: Iterator[str]) -> str:
    return "\n".join(("```", *lines, "```\n"))


def draw(root: Path) -> str:
    trees = (draw_tree(root, folder) for folder in FOLDERS)
    return "\n".join((INTRODUCTION, *trees, draw_layers(root)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.rooms",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="compare the page, write nothing")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository")
    options = parser.parse_args(arguments)
    page, text = options.root / PAGE, draw(options.root)
    if not options.check:
        page.write_text(text)
    elif not page.exists() or page.read_text() != text:
        print(f"{PAGE} is out of date: run `python -m tools.rooms` and commit the page.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
