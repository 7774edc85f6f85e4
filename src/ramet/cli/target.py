"""What the command line is to train: a module or a script, and the names in it."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ramet.errors import RametError, UsageError
from ramet.events import RunOpened
from ramet.space import Space
from ramet.strategies import Strategy, from_description


class Target(NamedTuple):
    """A module, and the training function or task in it."""

    module: ModuleType
    train: Any

    def named(self, name: str) -> Any:
        """Return what the module has under a name, which must be there."""
        if not hasattr(self.module, name):
            raise UsageError(
                f"{self.module.__name__} must define {name!r}, but does not; it has "
                f"{[name for name in vars(self.module) if not name.startswith('_')]}"
            )
        return getattr(self.module, name)


def load(target: str) -> Target:
    """Import what is to be trained: "package.module:function", or "folder/script.py:function"."""
    where, _, name = target.partition(":")
    module = _script(Path(where)) if where.endswith(".py") else _module(where)
    loaded = Target(module, None)
    return loaded._replace(train=loaded.named(name or "train"))


def space_and_strategy(target: Target, opening: RunOpened) -> tuple[Space, Strategy]:
    """Return those of a run on record: the module's own, or what the record describes in full."""
    space, strategy = (getattr(target.module, name, None) for name in ("space", "strategy"))
    try:
        return space or _space(opening), strategy or from_description(opening.strategy)
    except (RametError, LookupError, TypeError) as error:
        raise UsageError(
            f"the code in a run's space and strategy is not in its store, so the module must have "
            f"them as `space` and `strategy`, but {target.module.__name__} has not: {error}"
        ) from error


def _space(opening: RunOpened) -> Space:
    space = Space.from_description(opening.space)
    if space.describe() != opening.space:
        raise UsageError(f"the space of run {opening.name!r} has where= or explore=")
    return space


def _module(name: str) -> ModuleType:
    # As `python -m` does.
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise UsageError(
            f"what to train must be a module:function or a script.py:function, but there is no "
            f"module {name!r} here"
        ) from error


def _script(path: Path) -> ModuleType:
    """Import a script by its name, so that worker processes can import it too."""
    if not path.is_file():
        raise UsageError(f"what to train must be in a file that exists, but {path} does not")
    sys.path.insert(0, str(path.parent.resolve()))
    return importlib.import_module(path.stem)
