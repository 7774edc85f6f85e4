"""The values of a space as arrays, which programs take in place of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ramet.domains import Choice, Constant, Domain, Integer, Value
from ramet.errors import UsageError
from ramet.space import Space

# What a whole number may be.
WHOLE = np.iinfo(np.int32)


class SpaceArrays:
    """The values of a space as arrays of one number, each name always of the same dtype.

    >>> from ramet import Space, Uniform
    >>> numbers = SpaceArrays(Space(lr=Uniform(0.0, 1.0), layers=Choice([1, 2])))
    >>> numbers.of({"lr": 0.5, "layers": 2})
    {'lr': array(0.5, dtype=float32), 'layers': array(2, dtype=int32)}
    """

    def __init__(self, space: Space) -> None:
        if space.conditional:
            names = list(space.conditions)
            raise UsageError(
                f"hyperparameters of a vectorised task must always be there, because all members "
                f"train in one program, but {names} depend on others; take the When away, and let "
                f"the program choose: jnp.where or torch.where on the number of the choice"
            )
        kinds = {name: _kind(name, domain) for name, domain in space.domains}
        # An array has one dtype, and one more axis.
        self._arrays = space.arrays
        self._alone = [name for name in kinds if name not in set().union(*space.arrays.values())]
        self.kinds: dict[str, type[np.generic]] = {name: kinds[name] for name in self._alone}
        self.shapes: dict[str, tuple[int, ...]] = dict.fromkeys(self._alone, ())
        for name, its in space.arrays.items():
            self.kinds[name] = _common_kind(name, [kinds[one] for one in its])
            self.shapes[name] = (len(its),)

    def of(self, hparams: Mapping[str, Value]) -> dict[str, NDArray[Any]]:
        """Return these values. Those of an array are in one."""
        return {name: each[0, ...] for name, each in self.of_all([hparams]).items()}

    def of_all(self, members: Sequence[Mapping[str, Value]]) -> dict[str, NDArray[Any]]:
        """Return the values of several members; the first axis is that of the members.

        Args:
            members: The values of each, by name.
        """
        alone = {
            name: np.array([each[name] for each in members], self.kinds[name])
            for name in self._alone
        }
        arrays = {
            name: np.array([[each[one] for one in names] for each in members], self.kinds[name])
            for name, names in self._arrays.items()
        }
        return alone | arrays


def _common_kind(name: str, kinds: Sequence[type[np.generic]]) -> type[np.generic]:
    if len(set(kinds)) > 1:
        said = sorted(kind.__name__ for kind in set(kinds))
        raise UsageError(
            f"the values of an array must be of one kind in a vectorised task, but those of "
            f"{name!r} are {said}; give them one domain: Array(domain, {len(kinds)})"
        )
    return kinds[0]


def _kind(name: str, domain: Domain) -> type[np.generic]:
    """Return the dtype that holds all values of a domain."""
    values = _extremes(domain)
    for value in values:
        if not isinstance(value, bool | int | float):
            raise UsageError(
                f"hyperparameters of a vectorised task must be numbers, but {name!r} may be "
                f"{value!r}; let it be the number of a choice, as in Choice([0, 1, 2])"
            )
        if isinstance(value, int) and not WHOLE.min <= value <= WHOLE.max:
            raise UsageError(
                f"whole numbers of a vectorised task must fit 32 bits, {WHOLE.min} to {WHOLE.max}, "
                f"but {name!r} may be {value}; count in larger units, or use Uniform"
            )
    kinds = {type(value) for value in values}
    if float in kinds:
        return np.float32
    return np.bool_ if kinds == {bool} else np.int32


def _extremes(domain: Domain) -> tuple[Value, ...]:
    """Return values of all types and sizes that a domain has."""
    match domain:
        case Choice():
            return tuple(domain.options)
        case Constant():
            return (domain.value,)
        case Integer():
            return domain.low, domain.high
        case _:
            return (0.0,)
