"""Metrics of a turn, packed: how an event holds the numbers that a loop logged."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from ramet.errors import CorruptLog

Steps: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.float64]

# Little-endian, on any machine.
STEP, NUMBER = np.dtype("<i8"), np.dtype("<f8")


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The values of metrics that have the same steps.

    They are bytes, which JSON shows as base64, for two reasons. JSON has neither NaN nor
    infinities. And every worker reads every event, but none of them reads metrics.

    >>> (series,) = pack({"loss": [(10, 0.5), (20, float("nan"))]})
    >>> [(name, steps.tolist(), values.tolist()) for name, steps, values in series.curves()]
    [('loss', [10, 20], [0.5, nan])]
    """

    names: tuple[str, ...]
    # Integers of 8 bytes, counted along the lineage.
    steps: bytes
    # Floats of 8 bytes: those of the first name, then those of the second, and so on.
    values: bytes

    def curves(self) -> Iterator[tuple[str, Steps, Numbers]]:
        """Yield each metric's name, steps and values."""
        if len(self.values) != len(self.names) * len(self.steps) or len(self.steps) % STEP.itemsize:
            raise CorruptLog(
                f"metrics must have a value for each name and step, but {list(self.names)} have "
                f"{len(self.steps)} bytes of steps and {len(self.values)} bytes of values"
            )
        steps = np.frombuffer(self.steps, STEP)
        values = np.frombuffer(self.values, NUMBER).reshape(len(self.names), len(steps))
        for name, row in zip(self.names, values, strict=True):
            yield name, steps, row


def pack(points: Mapping[str, Sequence[tuple[int, float]]]) -> tuple[Series, ...]:
    """Return metrics, each with its (step, value) pairs, in as many series as there are steps."""
    by_steps: dict[tuple[int, ...], list[str]] = {}
    for name, pairs in points.items():
        by_steps.setdefault(tuple(step for step, _ in pairs), []).append(name)
    return tuple(
        Series(
            names=tuple(names),
            steps=np.array(steps, STEP).tobytes(),
            values=_numbers([value for name in names for _, value in points[name]]).tobytes(),
        )
        for steps, names in by_steps.items()
    )


def _numbers(values: Sequence[float]) -> Numbers:
    numbers = np.array(values, NUMBER)
    # There are many, and equal runs are to have equal logs.
    numbers[np.isnan(numbers)] = np.nan
    return numbers
