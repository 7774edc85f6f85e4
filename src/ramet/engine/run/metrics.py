"""Metrics: the numbers that a loop logs in a turn beside its score."""

import copy
import math
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from ramet.engine.run.steps import place_at_steps
from ramet.errors import MetricError
from ramet.series import Series, pack

# Metrics in a turn, and points of each: at most 90 kB together.
MOST_NAMES, MOST_POINTS = 64, 128
# Such as loss, val/loss and grad_norm.layer-1.
NAME = re.compile(r"[^\W\d_][\w./-]{0,99}")

# A number, possibly one that a device is still computing.
Value: TypeAlias = Any


class Metrics:
    """The metrics of a turn by name."""

    def __init__(self) -> None:
        self._of: dict[str, _Points] = {}

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Record numbers at a step, which must not be before earlier steps of the same metric."""
        for name, value in _items(metrics):
            points = self._of.get(name)
            if points is None:
                points = self._begin(name)
            points.add(step, hold_value(name, value))

    def log_once(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Record numbers in a turn that does not count its steps: one for each name."""
        for name, _ in _items(metrics):
            if name in self._of:
                raise MetricError(
                    f"a turn must count its steps to have several values of a metric, but "
                    f"{name!r} was logged twice with none counted; write `for step in turn`, or "
                    f"end the turn with run.tell(..., metrics={{{name!r}: [(step, value), ...]}})"
                )
        self.log(step, metrics)

    def join(self, others: Mapping[str, Any], *, start: int, stop: int) -> "Metrics":
        """Return these metrics and others that are given at the turn's end."""
        joined = Metrics()
        joined._of = {name: copy.copy(points) for name, points in self._of.items()}
        for name, values in _items(others):
            what = f"metric {name!r}"
            for step, value in place_at_steps(
                values, start=start, stop=stop, what=what, refusal=MetricError
            ):
                joined.log(step, {name: value})
        return joined

    def pack(self) -> tuple[Series, ...]:
        """Return the kept points as bytes; wait for devices to compute them."""
        if not self._of:
            return ()
        return pack(
            {
                name: [(step, number(name, value)) for step, value in points.list_kept()]
                for name, points in self._of.items()
            }
        )

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def _begin(self, name: Any) -> "_Points":
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise MetricError(
                f"a metric's name must begin with a letter and have no more than 100 letters, "
                f"digits and any of _ . / -, but got {name!r}"
            )
        if name == "score":
            raise MetricError(
                "a metric must not be called 'score', which is what members are compared by; "
                "report it: turn.report(score)"
            )
        if len(self._of) == MOST_NAMES:
            raise MetricError(
                f"a turn must log no more than {MOST_NAMES} metrics, but {name!r} is one more, "
                f"after {', '.join(list(self._of)[:3])} and others; log their mean or norm, or "
                f"the few that you will look at"
            )
        return self._of.setdefault(name, _Points(name))


class _Points:
    """The points of one metric: the first, the last, and every nth between them.

    n begins at 1, and doubles whenever there are too many points. So the points that are kept
    depend only on how many there were, and no more than that are ever in memory.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # Immutable, so that copies can share it.
        self._kept: tuple[tuple[int, Value], ...] = ()
        self._last: tuple[int, Value] | None = None
        self._before_last, self._every = 0, 1

    def add(self, step: int, value: Value) -> None:
        if self._last is not None:
            if step < self._last[0]:
                raise MetricError(
                    f"a metric's steps must not go back, but got {self._name!r} at step {step} "
                    f"after step {self._last[0]}"
                )
            if step > self._last[0]:
                self._settle(self._last)
        self._last = step, value

    def list_kept(self) -> list[tuple[int, Value]]:
        return [*self._kept] if self._last is None else [*self._kept, self._last]

    def _settle(self, point: tuple[int, Value]) -> None:
        """Keep a point for good, or drop it."""
        if self._before_last % self._every == 0:
            if len(self._kept) == MOST_POINTS - 1:
                self._kept = self._kept[::2]
                self._every *= 2
            if self._before_last % self._every == 0:
                self._kept = (*self._kept, point)
        self._before_last += 1


def hold_value(name: str, value: Any) -> Value:
    """Return a value that no later write can change, without waiting for a device.

    A tensor of PyTorch on a device is detached and copied there; arrays of JAX are immutable. Both
    become numbers in ``pack``. Anything else becomes a number at once.
    """
    on_cpu = getattr(value, "is_cpu", None)
    if on_cpu is not None:
        value = value.detach()
    if on_cpu is False or hasattr(value, "block_until_ready"):
        _check_size(name, value)
        return value if on_cpu is None else value.clone()
    return number(name, value)


def number(name: str, value: Value) -> float:
    """Return a value as a float; refuse anything but one number."""
    if type(value) is float:
        return value
    if value is None or isinstance(value, str | bytes):
        raise _not_a_number(name, value)
    _check_size(name, value)
    try:
        return float(value.item() if getattr(value, "shape", None) else value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _not_a_number(name, value) from error
    except RuntimeError as error:
        raise MetricError(
            f"a metric must still be readable when its turn ends, but {name!r} could not be read: "
            f"{error}; log float({name}) of an array that is donated later"
        ) from error


def _check_size(name: str, value: Any) -> None:
    """Refuse several numbers, by their shape, which is known before the numbers are."""
    if math.prod(getattr(value, "shape", None) or ()) != 1:
        raise _not_a_number(name, value)


def _not_a_number(name: str, value: object) -> MetricError:
    shape = getattr(value, "shape", None)
    shown = reprlib.repr(value) if not shape else f"an array of shape {tuple(shape)}"
    return MetricError(
        f"a metric must be one number, but {name!r} is {shown} of type {type(value).__name__}; "
        f"log its mean or its parts, or leave it out where there is none"
    )


def _items(metrics: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    if not isinstance(metrics, Mapping):
        raise MetricError(
            f"metrics must have names, but got {metrics!r}; write turn.log(loss=...), or give a "
            f"dict of them"
        )
    return metrics.items()
