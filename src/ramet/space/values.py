"""Hyperparameters as code reads them: by name, nested or dotted. Unknown names are errors."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from ramet.errors import UnknownHyperparameter


class Dependence(Protocol):
    """What must hold for a hyperparameter to be there, written as text by ``str``."""

    @property
    def on(self) -> str:
        """The hyperparameter that it is about."""
        ...


class Values(Mapping[str, Any]):
    """Values by name, dotted for nested spaces; ``hparams["augment"]`` is the group of that name.

    ``hparams["lr"]`` is a tuple if it is an array. A hyperparameter that is not there, because of
    its condition, cannot be read, but ``get`` returns its default.

    It remembers which values were read, so that a turn can report those that its loop never read.

    >>> hparams = Values({"lr": 0.1, "augment.p": 0.5})
    >>> hparams["augment"]["p"]
    0.5
    >>> hparams.unread()
    ['lr']
    >>> hparams["lrr"]
    Traceback (most recent call last):
        ...
    ramet.errors.UnknownHyperparameter: only hyperparameters of the space can be read, which has \
['lr', 'augment.p'], but 'lrr' was; did you mean 'lr'?
    """

    __slots__ = ("_conditions", "_prefix", "_read", "_values")

    def __init__(
        self,
        values: Mapping[str, Any],
        prefix: str = "",
        read: set[str] | None = None,
        *,
        conditions: Mapping[str, Sequence[Dependence]] | None = None,
    ) -> None:
        self._values = values
        self._prefix = prefix
        # The conditions of all hyperparameters that have some, there or not.
        self._conditions: Mapping[str, Sequence[Dependence]] = conditions or {}
        self._read: set[str] = set() if read is None else read

    def __getitem__(self, name: str) -> Any:
        full = self._prefix + name
        if full in self._values:
            self._read.add(full)
            if self._conditions:
                self._mark_conditions(full)
            return self._values[full]
        if array := [*self._elements(full)]:
            self._read.update(array)
            self._mark_conditions(full)
            return tuple(self._values[one] for one in array)
        if any(other.startswith(f"{full}.") for other in self._values):
            return Values(self._values, f"{full}.", self._read, conditions=self._conditions)
        if (absent := self._absent(full)) is not None:
            raise UnknownHyperparameter(
                f"a hyperparameter can be read only while it is there, but {full!r} is there only "
                f"when {self._say(absent)}; ask first, {name!r} in hparams, or give a value for "
                f"then: hparams.get({name!r}, 0.0)"
            )
        close = difflib.get_close_matches(full, self._values, n=1)
        raise UnknownHyperparameter(
            f"only hyperparameters of the space can be read, which has {list(self._values)}, but "
            f"{full!r} was" + (f"; did you mean {close[0]!r}?" if close else "")
        )

    def __contains__(self, name: object) -> bool:
        full = f"{self._prefix}{name}"
        self._mark_conditions(full)
        return any(_is_of(other, full) for other in self._values)

    def mark_read(self, names: AbstractSet[str]) -> None:
        """Count values as read without reading them; names of values that are not there are left.

        Args:
            names: The names.
        """
        if not self._prefix and not self._conditions and names <= self._values.keys():
            self._read.update(names)
            return
        for name in names:
            if name in self:
                self[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or ``default`` if its condition does not hold. Unknown names are errors.

        Args:
            name: The name.
            default: What a hyperparameter counts as while it is not there.
        """
        if name not in self and self._absent(self._prefix + name) is not None:
            return default
        return self[name]

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (name[start:] for name in self._values if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr({name: self._values[self._prefix + name] for name in self})

    def _elements(self, full: str) -> Iterator[str]:
        """Yield the names of the values of a numbered array, in order."""
        nth = 0
        while (name := f"{full}[{nth}]") in self._values:
            yield name
            nth += 1

    @property
    def absent(self) -> dict[str, str]:
        """The hyperparameters that are not there, each with what must hold for it to be."""
        names = [name for name in self._conditions if name not in self._values]
        return {name: self._say(name) for name in names}

    def _absent(self, full: str) -> str | None:
        """Return a hyperparameter of a name that is not there; None if there is no such name."""
        found = (name for name in self._conditions if _is_of(name, full))
        return next((name for name in found if name not in self._values), None)

    def _say(self, name: str) -> str:
        return " and ".join(map(str, self._conditions[name]))

    def _mark_conditions(self, full: str) -> None:
        """Mark as read what decides whether something is there."""
        waiting = [name for name in self._conditions if _is_of(name, full)]
        while waiting:
            for one in self._conditions.get(waiting.pop(), ()):
                if one.on not in self._read:
                    waiting.append(one.on)
                    if one.on in self._values:
                        self._read.add(one.on)

    def peek(self) -> dict[str, Any]:
        """Return all values without marking them as read."""
        return dict(self._values)

    def are(self, values: Mapping[str, Any]) -> bool:
        """Say whether these are all values, without marking them as read.

        Args:
            values: Values by their full names.
        """
        return self._values == values

    def unread(self) -> list[str]:
        """Return the names of the values that were never read."""
        if len(self._read) == len(self._values):  # It has only names that are there.
            return []
        return [name for name in self._values if name not in self._read]


def _is_of(name: str, full: str) -> bool:
    """Say whether a hyperparameter has a name, or is in the group or array of that name."""
    return name == full or name.startswith((f"{full}.", f"{full}[0]"))
