"""The hyperparameters of a turn, which remember what was read of them."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ramet.errors import UnknownHyperparameter
from ramet.space import Hparams


class TurnHparams(Mapping[str, Any]):
    """Values by name, dotted for nested spaces; ``hparams["augment"]`` is the group of that name.

    >>> hparams = TurnHparams({"lr": 0.1, "augment.p": 0.5})
    >>> hparams["augment"]["p"]
    0.5
    >>> hparams.unread()
    ['lr']
    >>> hparams["lrr"]
    Traceback (most recent call last):
        ...
    ramet.errors.UnknownHyperparameter: a loop can only read hyperparameters of the space, which \
has ['lr', 'augment.p'], but it read 'lrr'; did you mean 'lr'?
    """

    __slots__ = ("_prefix", "_read", "_values")

    def __init__(self, values: Hparams, prefix: str = "", read: set[str] | None = None) -> None:
        self._values = values
        self._prefix = prefix
        self._read: set[str] = set() if read is None else read

    def __getitem__(self, name: str) -> Any:
        full = self._prefix + name
        if full in self._values:
            self._read.add(full)
            return self._values[full]
        if any(other.startswith(f"{full}.") for other in self._values):
            return TurnHparams(self._values, f"{full}.", self._read)
        close = difflib.get_close_matches(full, self._values, n=1)
        raise UnknownHyperparameter(
            f"a loop can only read hyperparameters of the space, which has {list(self._values)}, "
            f"but it read {full!r}" + (f"; did you mean {close[0]!r}?" if close else "")
        )

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (name[start:] for name in self._values if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr({name: self._values[self._prefix + name] for name in self})

    def peek(self) -> Hparams:
        """Return all values without counting as having read them."""
        return dict(self._values)

    def unread(self) -> list[str]:
        """Return the names that nobody has asked for."""
        return [name for name in self._values if name not in self._read]
