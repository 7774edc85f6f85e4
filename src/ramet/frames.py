"""Where in the user's own code something happened, which is neither ramet's nor a library's."""

import functools
import linecache
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

_OURS = f"{Path(__file__).parent}/"
_INSTALLED = ("/site-packages/", "/dist-packages/")

# Characters that are kept of a traceback, which may quote arrays.
MOST_OF_TRACEBACK = 100_000


class Cell(NamedTuple):
    """A cell of a notebook. Its code is in no file."""

    # The name that its code was compiled under.
    file: str
    # What people call it, such as "Cell In[3]".
    name: str
    lines: list[str]


# What people call cells, by the name that their code was compiled under: those of another process.
_named: dict[str, str] = {}


def is_users(file: str) -> bool:
    """Say whether a file of code is the user's own."""
    if file.startswith((_OURS, "<frozen ", *_libraries())):
        return False
    return not any(part in file for part in _INSTALLED)


def place_of(error: BaseException) -> str:
    """Return the file and line of the user's code that raised, or "" if no code is known to have.

    Where only libraries were at work, it is their innermost line.
    """
    lines = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [line for line in lines if is_users(line[0])]
    return "".join(f"{name_file(file)}:{line}" for file, line in (own or lines)[-1:])


def format_error(error: BaseException) -> str:
    """Return an error with its traceback, as Python prints it, from the user's own code on.

    Frames of ramet that only lead to the user's code are left out. Cells have their names. The
    middle of a very long one is left out.
    """
    formatted = traceback.TracebackException.from_exception(error)
    for each in _chain(formatted):
        ours = 0
        while ours < len(each.stack) and each.stack[ours].filename.startswith(_OURS):
            ours += 1
        if ours < len(each.stack):
            del each.stack[:ours]
        for frame in each.stack:
            frame.filename = name_file(frame.filename)
    return leave_out("".join(formatted.format()), MOST_OF_TRACEBACK)


def drop_leading_frames(error: BaseException | None) -> None:
    """Let the tracebacks of an error, and of those behind it, begin with the user's own code.

    Frames of ramet that only lead there are dropped.

    Args:
        error: The error; None is none.
    """
    pending, seen = [error], set[int]()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        trace = each.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
            trace = trace.tb_next
        each.__traceback__ = trace or each.__traceback__
        pending += [each.__cause__, each.__context__]
        pending += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


def leave_out(text: str, most: int) -> str:
    r"""Return a text, or its head and its tail if it is longer than ``most``.

    >>> leave_out("ValueError: " + "x" * 90 + " is no rate", 40)
    'ValueError: xxxxxxxx\n[73 characters left out]\nxxxxxxxxx is no rate'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"


def name_file(file: str) -> str:
    """Return what people call a file of code: a cell's name, or the file as it is."""
    if file in _named:
        return _named[file]
    find = getattr(getattr(find_shell(), "compile", None), "format_code_name", lambda _: None)
    found = find(file)
    return " ".join(found) if found else file


def find_shell() -> Any:
    """Return IPython's shell if this process runs one, such as the kernel of a notebook."""
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


def collect_cells() -> list[Cell]:
    """Return the cells of the notebook that this process runs, if it runs one."""
    files = [(file, entry) for file, entry in linecache.cache.items() if len(entry) > 1]
    # Only what was typed has no time of its last change.
    typed = [(file, list(entry[2])) for file, entry in files if entry[1] is None]
    return [Cell(file, name, lines) for file, lines in typed if (name := name_file(file)) != file]


def learn_cells(cells: Iterable[Cell]) -> None:
    """Let tracebacks of this process show the cells of another one's notebook."""
    for cell in cells:
        _named[cell.file] = cell.name
        size = sum(map(len, cell.lines))
        linecache.cache[cell.file] = (size, None, cell.lines, cell.file)


def _chain(
    formatted: traceback.TracebackException,
) -> Iterator[traceback.TracebackException]:
    """Yield an error, and all that it was raised from or while handling."""
    pending: list[traceback.TracebackException | None] = [formatted]
    while pending:
        if (each := pending.pop()) is not None:
            yield each
            pending += [each.__cause__, each.__context__, *(each.exceptions or ())]


def level_of_users() -> int:
    """Return the ``stacklevel`` at which a warning of the caller points at the user's code."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001 - as `warnings` itself counts
    while frame.f_back is not None and not is_users(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    return level


@functools.cache
def _libraries() -> tuple[str, ...]:
    return tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))
