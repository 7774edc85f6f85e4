"""Arrays of hyperparameters: one value for each layer group, under one name."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from ramet.domains import Domain
from ramet.errors import SpaceError

# Each value has a column in tables and a picture in reports.
MOST_VALUES = 1_000


class Array:
    """Several values of one domain under one name, such as a learning rate for each layer group.

    ``turn.hparams["lr"]`` is a tuple of them. The values of ``Array(domain, ("body", "head"))`` are
    read by name, as in ``turn.hparams["lr"]["head"]``. Records, tables and pictures show each value
    as a hyperparameter: ``lr[0]`` and ``lr[1]``, or ``lr.body`` and ``lr.head``.

    Args:
        domain: What each value may be.
        size: How many values there are, or their names.
        together: Whether all values move by the same factor, which is limited so that no value
            leaves the domain. Otherwise each value explores by itself.

    >>> from ramet import LogUniform
    >>> Array(LogUniform(1e-5, 0.1), 4, together=True)
    Array(LogUniform(low=1e-05, high=0.1), 4, together=True)
    """

    __slots__ = ("domain", "names", "size", "together")

    def __init__(
        self, domain: Domain, size: int | Sequence[str], *, together: bool = False
    ) -> None:
        self.domain, self.together = domain, together
        # None if the values are numbered.
        self.names: tuple[str, ...] | None = None
        if isinstance(size, list | tuple) and size and all(isinstance(it, str) for it in size):
            self.names, size = tuple(size), len(size)
        if type(size) is not int or not 1 <= size <= MOST_VALUES:
            raise SpaceError(
                f"an array must have a number of values from 1 to {MOST_VALUES:,}, or a list of "
                f"their names, but got {size!r}; write Array(domain, 4), or "
                f"Array(domain, ['body', 'head'])"
            )
        if not isinstance(together, bool):
            raise SpaceError(f"together= must be True or False, but got {together!r}")
        self.size = size

    def __repr__(self) -> str:
        size = self.size if self.names is None else list(self.names)
        together = ", together=True" if self.together else ""
        return f"Array({self.domain!r}, {size!r}{together})"

    def names_under(self, name: str) -> list[str]:
        """Return the names of its values if it has this name.

        Args:
            name: The name of the array.
        """
        if self.names is None:
            return [element(name, nth) for nth in range(self.size)]
        return [f"{name}.{inner}" for inner in self.names]


def element(name: str, nth: int) -> str:
    """Return the name of a value in a numbered array."""
    return f"{name}[{nth}]"


def find_arrays(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the numbered arrays among names, with the names of their values in order.

    >>> find_arrays(["lr[1]", "lr[0]", "momentum", "other[3]"])
    {'lr': ('lr[0]', 'lr[1]')}
    """
    there = dict.fromkeys(names)
    begun = [name.removesuffix("[0]") for name in there if name.endswith("[0]")]
    return {name: tuple(_elements(there, name)) for name in begun if name}


def _elements(names: dict[str, None], name: str) -> Iterator[str]:
    for nth in count():
        if (full := element(name, nth)) not in names:
            return
        yield full
