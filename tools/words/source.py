"""What the rules read and what they find."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

CODE = {".py", ".js", ".css", ".sql"}
PAGES = ("README.md", "SECURITY.md", "CONTRIBUTING.md")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = Function | ast.ClassDef


class Place(NamedTuple):
    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True)
class Source:
    """A file's path from the repository's root, and its text."""

    path: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def is_page(self) -> bool:
        return self.path.endswith(".md")

    @property
    def module(self) -> str:
        """The dotted name: src/ramet/store/__init__.py is ramet.store."""
        parts = Path(self.path).with_suffix("").parts
        return ".".join(part for part in parts if part not in {"src", "__init__"})


def read_sources(root: Path) -> list[Source]:
    """Read the files of src, docs and the pages at the root, in the order of their paths."""
    code = (path for path in (root / "src").rglob("*") if path.suffix in CODE)
    pages = [*(root / "docs").rglob("*.md"), *(root / page for page in PAGES)]
    return [
        Source(path.relative_to(root).as_posix(), path.read_text())
        for path in sorted([*code, *pages])
    ]


def definitions(tree: ast.AST, inside: tuple[str, ...] = ()) -> Iterator[tuple[str, Definition]]:
    """Yield all classes and functions with their dotted names; "<locals>" is inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition):
            yield ".".join((*inside, node.name)), node
            within = () if isinstance(node, ast.ClassDef) else ("<locals>",)
            yield from definitions(node, (*inside, node.name, *within))
        else:
            yield from definitions(node, inside)


def decorators(node: Function) -> set[str]:
    """Return the last names of a function's decorators: "cached_property", "setter"."""
    names = (ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list)
    return {name.rpartition(".")[2] for name in names}


def is_private(dotted: str) -> bool:
    return any(
        name == "<locals>" or (name.startswith("_") and not name.startswith("__"))
        for name in dotted.split(".")
    )
