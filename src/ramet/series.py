"""The metrics that a loop logged in a turn, packed as bytes for an event."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from ramet.errors import CorruptLog

Steps: TypeAlias = npt.NDArray[np.int64]
MetricValues: TypeAlias = npt.NDArray[np.float64]

# Little-endian, on any machine.
STEP, NUMBER = np.dtype("<i8"), np.dtype("<f8")


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The values of several metrics at the same steps.

    They are stored as bytes, which are base64 in JSON. JSON has neither NaN nor infinities; and
    bytes are quick to skip for workers, which read every event but no metrics.

    >>> (series,) = pack({"loss": [(10, 0.5), (20, float("nan"))]})
    >>> [(name, steps.tolist(), values.tolist()) for name, steps, values in series.curves()]
    [('loss', [10, 20], [0.5, nan])]
    """

    names: tuple[str, ...]
    # Steps behind the weights, as integers of 8 bytes.
    steps: bytes
    # Floats of 8 bytes: all values of the first name, then all of the second, and so on.
    values: bytes

    def curves(self) -> Iterator[tuple[str, Steps, MetricValues]]:
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
    """Pack metrics, given as (step, value) pairs; those with equal steps share a series."""
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


def find_last(metrics: Sequence[Series], step: int) -> dict[str, float]:
    """Return the metrics that have a value at a step, which is their last one.

    >>> find_last(pack({"loss": [(5, 0.5), (10, 0.25)], "norm": [(5, 1.0)]}), 10)
    {'loss': 0.25}
    """
    return {
        name: float(values[-1])
        for series in metrics
        for name, steps, values in series.curves()
        if len(steps) and steps[-1] == step
    }


def _numbers(values: Sequence[float]) -> MetricValues:
    numbers = np.array(values, NUMBER)
    # There are many NaNs, and equal runs must write equal bytes.
    numbers[np.isnan(numbers)] = np.nan
    return numbers
