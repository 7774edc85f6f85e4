"""What the reference shows of docstrings: examples as code, and comments above fields."""

import re
from pathlib import Path
from typing import Any

from griffe import Attribute, Class, Docstring, Extension, Object

# From the first prompt to the next empty line, or the end.
EXAMPLE = re.compile(r"^( *)(>>> .*?)(?=\n\s*\n|\s*\Z)", re.DOTALL | re.MULTILINE)


class Docstrings(Extension):
    """Fences examples in docstrings, and reads the comments above fields as theirs."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fence_examples(obj.docstring.value)

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        for member in cls.members.values():
            if isinstance(member, Attribute) and member.docstring is None:
                document(member)


def fence_examples(text: str) -> str:
    """Return a docstring in which each example is a block of code.

    >>> print(fence_examples("Add.\\n\\n>>> 1 + 1\\n2"))
    Add.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    return EXAMPLE.sub(r"\1```pycon\n\1\2\n\1```", text)


def document(field: Attribute) -> None:
    """Give a field the comment above it as its docstring, if there is one."""
    if field.lineno is None or not isinstance(field.filepath, Path):
        return
    lines = field.lines_collection[field.filepath]
    said: list[str] = []
    for line in reversed(lines[: field.lineno - 1]):
        text = line.strip()
        if not text.startswith("#"):
            break
        said.insert(0, text.removeprefix("#").strip())
    if said:
        field.docstring = Docstring("\n".join(said), lineno=field.lineno, parent=field)
