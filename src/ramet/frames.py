"""Where in the user's own code something happened, which is neither ramet's nor a library's."""

import functools
import sys
import sysconfig
import traceback
from pathlib import Path

_OURS = f"{Path(__file__).parent}/"
_INSTALLED = ("/site-packages/", "/dist-packages/")


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
    return "".join(f"{file}:{line}" for file, line in (own or lines)[-1:])


def level_of_users() -> int:
    """Return the ``stacklevel`` at which a warning of the caller points at the user's code."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001 - as `warnings` itself counts
    while frame.f_back is not None and not is_users(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    return level


@functools.cache
def _libraries() -> tuple[str, ...]:
    return tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))
