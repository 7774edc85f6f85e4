"""The fields in the state of each of NumPy's bit generators.

NumPy does not check all of them: a position beyond the end of a buffer reads other memory.
"""

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray


class Whole(NamedTuple):
    """A whole number from 0 on."""

    below: int

    def check(self, value: Any, name: str) -> int:
        number = operator.index(value)
        if not 0 <= number < self.below:
            raise ValueError(f"{name} must be from 0 to {self.below - 1}, but is {number}")
        return number


class Words(NamedTuple):
    """An array of as many unsigned numbers."""

    length: int
    dtype: type[np.unsignedinteger[Any]] = np.uint64

    def check(self, value: Any, name: str) -> NDArray[Any]:
        array = np.asarray(value)
        if array.shape != (self.length,) or array.dtype != self.dtype:
            raise ValueError(
                f"{name} must be {self.length} numbers of {self.dtype.__name__}, but is "
                f"{array.dtype}{array.shape}"
            )
        return np.array(array, self.dtype, order="C")


Fields: TypeAlias = Mapping[str, "Whole | Words | Fields"]

_HALF: Fields = {"has_uint32": Whole(2), "uinteger": Whole(2**32)}
_PCG: Fields = {"state": {"state": Whole(2**128), "inc": Whole(2**128)}, **_HALF}
FIELDS: Mapping[str, Fields] = {
    "PCG64": _PCG,
    "PCG64DXSM": _PCG,
    "MT19937": {"state": {"key": Words(624, np.uint32), "pos": Whole(625)}},
    "Philox": {
        "state": {"counter": Words(4), "key": Words(2)},
        "buffer": Words(4),
        "buffer_pos": Whole(5),
        **_HALF,
    },
    "SFC64": {"state": {"state": Words(4)}, **_HALF},
}


def check_state(state: Any) -> dict[str, Any]:
    """Return a bit generator's state; raise ValueError or TypeError where it is not whole.

    >>> check_state({"bit_generator": "MT19937", "state": {"key": np.zeros(3), "pos": 0}})
    Traceback (most recent call last):
        ...
    ValueError: state.key must be 624 numbers of uint32, but is float64(3,)
    """
    kind = state["bit_generator"]
    return {"bit_generator": kind, **_check_fields(state, FIELDS[kind], "")}


def _check_fields(state: Any, fields: Fields, path: str) -> dict[str, Any]:
    missing = [name for name in fields if not isinstance(state, Mapping) or name not in state]
    if missing:
        raise ValueError(f"{path or 'it'} lacks {missing}")
    return {
        name: _check_fields(state[name], field, _join(path, name))
        if isinstance(field, Mapping)
        else field.check(state[name], _join(path, name))
        for name, field in fields.items()
    }


def _join(path: str, name: str) -> str:
    return f"{path}.{name}".removeprefix(".")
