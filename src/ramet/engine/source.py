"""The code that a run is trained with, as a fingerprint that tells whether it has changed."""

import ast
import contextlib
import functools
import inspect
import linecache
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

from ramet.digest import digest
from ramet.frames import is_users

# What source code defines: a function under the line that it begins in, a class under its name.
Definitions: TypeAlias = Mapping[int | str, list[ast.AST]]
# What may begin with a docstring.
DOCUMENTED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def fingerprint(train: object) -> str | None:
    """Return a digest of the code that trains; None if its source cannot be read.

    It covers the training function, or the task's class, and the functions and classes of its
    module that it uses. Comments, docstrings and layout are left out.

    Args:
        train: A training function or a task.
    """
    try:
        texts = _read_sources([part for part in _parts(train) if not _is_ours(part)])
    except Exception:  # noqa: BLE001 - whatever is wrong with the source, the run can be trained
        return None
    return digest([text.encode(errors="replace") for text in sorted(texts)]) if texts else None


def _parts(train: object) -> Iterator[Any]:
    """Yield the functions and classes that a training function or task is made of."""
    found = list(_functions_in(train))
    yield from found
    if not found:
        yield type(train)
        # What a ramet.jax.Task or a ramet.torch.Task is made of.
        functions = getattr(train, "functions", None)
        if functions is not None:
            yield type(functions)


def _functions_in(value: object) -> Iterator[Any]:
    """Yield the functions and classes that a value calls, if it is a function of some kind."""
    if isinstance(value, functools.partial):
        for part in (value.func, *value.args, *value.keywords.values()):
            yield from _functions_in(part)
    elif isinstance(value, FunctionType | type):
        yield value
    elif isinstance(value, MethodType):
        yield value.__func__
        yield type(value.__self__)


def _read_sources(parts: list[Any]) -> set[str]:
    """Return the code of functions and classes, and of those of their modules that they use."""
    texts: set[str] = set()
    seen: set[int] = set()
    while parts:
        part = parts.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        module = sys.modules.get(part.__module__)
        for node in _find_nodes(part, module):
            texts.add(f"{part.__qualname__}: {_text(node)}")
            parts += _find_used(node, module)
        parts += _find_enclosed(part)
    return texts


def _find_nodes(part: Any, module: ModuleType | None) -> list[ast.AST]:
    """Return what defines a function or class in the source; raise OSError if it is not there."""
    code: CodeType | None = getattr(part, "__code__", None)
    file = inspect.getfile(part)
    linecache.checkcache(file)
    lines = linecache.getlines(file, vars(module) if module else None)
    found = _parse("".join(lines))[part.__qualname__ if code is None else code.co_firstlineno]
    if not found:
        raise OSError(f"the source of {part!r} is not in {file}")
    return found


@functools.lru_cache(maxsize=1)
def _parse(source: str) -> Definitions:
    """Return what a module defines; once for all of its functions, because it takes long."""
    found: defaultdict[int | str, list[ast.AST]] = defaultdict(list)
    pending: list[tuple[ast.AST, str]] = [(ast.parse(source), "")]
    while pending:
        node, prefix = pending.pop()
        match node:
            case ast.ClassDef(name=name):
                found[prefix + name].append(node)
                prefix += f"{name}."
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                first, *_ = *node.decorator_list, node
                found[first.lineno].append(node)
                prefix += f"{name}.<locals>."
            case ast.Lambda():
                found[node.lineno].append(node)
                prefix += "<lambda>.<locals>."
        pending += [(child, prefix) for child in ast.iter_child_nodes(node)]
    return found


def _find_used(node: ast.AST, module: ModuleType | None) -> Iterator[Any]:
    """Yield the functions and classes of its module that a function or class names."""
    for name in {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}:
        for used in _functions_in(getattr(module, name, None)):
            if module is not None and used.__module__ == module.__name__:
                yield used


def _find_enclosed(part: Any) -> Iterator[Any]:
    """Yield the user's functions and classes that a function has from around it, or decorates."""
    for cell in getattr(part, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # It is empty.
            yield from filter(_is_users, _functions_in(cell.cell_contents))


def _text(node: Any) -> str:
    """Return code as text that is the same in all versions of Python."""
    if isinstance(node, list):
        return f"[{', '.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    # Fields that are empty differ from version to version.
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return f"{type(node).__name__}({', '.join(f'{key}={_text(fields[key])}' for key in fields)})"


def _is_users(part: Any) -> bool:
    """Return whether the user's own code defines something, and no library."""
    try:
        return is_users(inspect.getfile(part))
    except TypeError:  # It is built in.
        return False


def _is_ours(part: Any) -> bool:
    """Return whether ramet defines something."""
    return str(part.__module__).partition(".")[0] == "ramet"
