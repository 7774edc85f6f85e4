"""The base of a schedule as a hyperparameter: rates go on in proportion to it."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from ramet.errors import StateError
from ramet.torch.places import Place, written

# Of a parameter group: what goes up and down with the base, the present rate and a cycle's bounds.
SCALED = ("lr", "max_lr", "min_lr")


def base_lr(scheduler: object) -> Place:
    """Return the base of a schedule; changing it scales the present rate, and the rest of it."""
    return BaseLr(scheduler)


class BaseLr:
    """The rate that a schedule starts from, which all of its rates are in proportion to."""

    def __init__(self, scheduler: Any) -> None:
        optimizer = getattr(scheduler, "optimizer", None)
        if not isinstance(optimizer, Optimizer):
            raise StateError(
                f"base_lr must be of a scheduler, which has an optimizer, but got a "
                f"{type(scheduler).__name__}"
            )
        self._scheduler, self._optimizer = scheduler, optimizer
        for group in optimizer.param_groups:
            # Those that only ever lower a rate, as on plateaus, do not say where it began.
            group.setdefault("initial_lr", _copied(group["lr"]))
        if len(set(map(float, self.read()))) > 1:
            raise StateError(
                f"base_lr must be the one base of all param groups, but the "
                f"{type(scheduler).__name__} has {self.read()}; bind a function that sets each"
            )

    def write(self, value: Any) -> None:
        for nth, (group, old) in enumerate(zip(self._groups(), self.read(), strict=True)):
            if not (value > 0 and old > 0):
                raise StateError(
                    f"the base of a schedule must be above 0, or nothing is in proportion to it, "
                    f"but it is {float(old)} and should become {value}"
                )
            factor = value / float(old)
            for key in [key for key in SCALED if key in group]:
                group[key] = written(group[key], float(group[key]) * factor)
            group["initial_lr"] = written(group["initial_lr"], value)
            for scheduler in _all_of(self._scheduler):
                _rebase(scheduler, nth, base=value, factor=factor, present=group["lr"])

    def read(self) -> Sequence[Any]:
        based = [one.base_lrs for one in _all_of(self._scheduler) if hasattr(one, "base_lrs")]
        return based[0] if based else [group["initial_lr"] for group in self._groups()]

    def _groups(self) -> list[dict[str, Any]]:
        return self._optimizer.param_groups


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _all_of(scheduler: Any) -> Iterator[Any]:
    """Yield a scheduler and those that it is made of."""
    yield scheduler
    for inner in getattr(scheduler, "_schedulers", ()):
        yield from _all_of(inner)


def _rebase(scheduler: Any, nth: int, *, base: float, factor: float, present: Any) -> None:
    """Give one scheduler its new base in one group, and the rate that comes of it."""
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs[nth] = written(scheduler.base_lrs[nth], base)
    if hasattr(scheduler, "max_lrs"):
        scheduler.max_lrs[nth] = written(scheduler.max_lrs[nth], scheduler.max_lrs[nth] * factor)
    if hasattr(scheduler, "_last_lr"):
        # Set and not scaled, because schedulers made of others share the list with one of them.
        scheduler._last_lr[nth] = _copied(present)  # noqa: SLF001 - what get_last_lr() returns
