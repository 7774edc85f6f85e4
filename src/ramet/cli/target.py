"""Find what to train: a module or a script, and names in it."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ramet.engine.processes.loading import importing_up_to_training
from ramet.errors import RametError, UsageError
from ramet.frames import is_users, place_of

# Names in a module that say what to train, and how.
TRAIN, SPACE, STRATEGY, STEPS, MODE = "train", "space", "strategy", "steps", "mode"


class Target(NamedTuple):
    """A module, and the training function or task in it."""

    module: ModuleType
    train: Any

    def read(self, name: str, *, otherwise: str = "") -> Any:
        """Return what the module defines under a name; refuse a name that it lacks."""
        if hasattr(self.module, name):
            return getattr(self.module, name)
        there = [name for name in vars(self.module) if not name.startswith("_")]
        raise UsageError(
            f"{self.module.__name__} must define {name!r}{otherwise}, but does not; it has "
            f"{', '.join(there) or 'nothing'}"
        )

    def read_steps(self) -> Any:
        """Return the number of steps that the module defines."""
        return self.read(STEPS, otherwise=" unless --steps is given")

    def read_mode(self) -> Any:
        """Return the mode that the module defines."""
        return self.read(MODE, otherwise=" ('max' or 'min') unless --mode is given")

    @property
    def usual_name(self) -> str:
        """What a run of it is called, unless the user says otherwise."""
        return self.module.__name__.rpartition(".")[2]

    def find(self, name: str | None, *, usual: str) -> Any:
        """Return what the module has under a name; None if it has nothing under the usual one.

        Args:
            name: A name that must be there, if the user gives one.
            usual: The name to look for otherwise.
        """
        return getattr(self.module, usual, None) if name is None else self.read(name)


def load(target: str, arguments: Sequence[str] | None) -> Target:
    """Import what to train: "package.module:function", or "folder/script.py:function".

    The module finds its own arguments in ``sys.argv``, as if it had been started itself.
    """
    where, _, name = target.partition(":")
    sys.argv = [where, *(arguments or ())]
    module = _script(Path(where)) if where.endswith(".py") else _module(where)
    return Target(module, Target(module, None).read(name or TRAIN))


def _module(name: str) -> ModuleType:
    # As `python -m` does.
    sys.path.insert(0, "")
    try:
        return _import(name, repr(name))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"what to train must be package.module:function or script.py:function, but there is "
            f"no module {name!r} in this folder or installed"
        ) from error


def _script(path: Path) -> ModuleType:
    """Import a script by its name, so that worker processes can import it, too."""
    if not path.is_file():
        raise UsageError(f"what to train must be in a file that exists, but {path} does not")
    sys.path.insert(0, str(path.parent.resolve()))
    module = _import(path.stem, str(path)) if "." not in path.stem else None
    there = getattr(module, "__file__", None)
    if module is None or there is None or not path.samefile(there):
        raise UsageError(
            f"a script must have a name that it can be imported by, but {path.stem!r} is "
            + (f"that of {there or 'a module of Python itself'}" if module else "not")
            + f"; rename {path.name}"
        )
    return module


def _import(name: str, shown: str) -> ModuleType:
    """Import a module; raise ModuleNotFoundError only if this very module does not exist.

    The import ends where the module calls ``ramet.run``: the command calls that itself.
    """
    try:
        with importing_up_to_training(name) as module:
            importlib.import_module(name)
        return module()
    except RametError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise
        file, _, line = place_of(error).rpartition(":")
        at = f" ({file}, line {line})" if is_users(file) else ""
        if isinstance(error, SystemExit) and len(sys.argv) == 1:
            at += "; a script's own arguments go behind --"
        what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        raise UsageError(f"{shown} must be importable, but it raised {what}{at}") from error
