"""Hyperparameters as code reads them: by name, nested or dotted. Unknown names are errors."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ramet.errors import UnknownHyperparameter


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

    __slots__ = ("_prefix", "_read", "_values", "absent")

    def __init__(
        self,
        values: Mapping[str, Any],
        prefix: str = "",
        read: set[str] | None = None,
        *,
        absent: Mapping[str, str] | None = None,
    ) -> None:
        self._values = values
        self._prefix = prefix
        # The hyperparameters that are not there, each with what must hold for it to be.
        self.absent: Mapping[str, str] = absent or {}
        self._read: set[str] = set() if read is None else read

    def __getitem__(self, name: str) -> Any:
        full = self._prefix + name
        if full in self._values:
            self._read.add(full)
            return self._values[full]
        if array := [*self._elements(full)]:
            self._read.update(array)
            return tuple(self._values[one] for one in array)
        if any(other.startswith(f"{full}.") for other in self._values):
            return Values(self._values, f"{full}.", self._read, absent=self.absent)
        if (condition := self._condition(full)) is not None:
            raise UnknownHyperparameter(
                f"a hyperparameter can be read only while it is there, but {full!r} is there only "
                f"when {condition}; ask first, {name!r} in hparams, or give a value for then: "
                f"hparams.get({name!r}, 0.0)"
            )
        close = difflib.get_close_matches(full, self._values, n=1)
        raise UnknownHyperparameter(
            f"only hyperparameters of the space can be read, which has {list(self._values)}, but "
            f"{full!r} was" + (f"; did you mean {close[0]!r}?" if close else "")
        )

    def __contains__(self, name: object) -> bool:
        full = f"{self._prefix}{name}"
        return any(
            other == full or other.startswith((f"{full}.", f"{full}[0]")) for other in self._values
        )

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or ``default`` if its condition does not hold. Unknown names are errors.

        Args:
            name: The name.
            default: What a hyperparameter counts as while it is not there.

        >>> hparams = Values({"lr": 0.1}, absent={"momentum": "'optimizer' is 'sgd'"})
        >>> hparams.get("momentum", 0.0)
        0.0
        """
        if name not in self and self._condition(self._prefix + name) is not None:
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

    def _condition(self, full: str) -> str | None:
        """Return what must hold for a name to be there that is not; None for another name."""
        return next(
            (
                condition
                for name, condition in self.absent.items()
                if name == full or name.startswith((f"{full}.", f"{full}[0]"))
            ),
            None,
        )

    def peek(self) -> dict[str, Any]:
        """Return all values without marking them as read."""
        return dict(self._values)

    def unread(self) -> list[str]:
        """Return the names of the values that were never read."""
        return [name for name in self._values if name not in self._read]
