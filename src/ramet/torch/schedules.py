"""The base of a learning rate schedule as a hyperparameter."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from ramet.errors import StateError
from ramet.torch.places import Slot, overwrite

# Entries of a param group in proportion to the base: the current rate and a cycle's bounds.
SCALED = ("lr", "max_lr", "min_lr")


def base_lr(scheduler: object, *others: object) -> Slot:
    """Return the base of a schedule, as a place to bind.

    Changing the base scales the current learning rate and the rest of the schedule. The base is
    the rate at the start of the schedule: the peak of a ``OneCycleLR`` is ``div_factor`` times
    the base, 25 times by default, and a ``CyclicLR`` rises from it.

    Args:
        scheduler: The scheduler.
        others: Further schedulers of the same optimizer, such as a warm-up.
    """
    return BaseLr([scheduler, *others])


class BaseLr:
    """The rate at the start of a schedule. All rates of the schedule are in proportion to it."""

    def __init__(self, schedulers: Sequence[Any]) -> None:
        self.schedulers, self.optimizer = schedulers, _optimizer_of(schedulers)
        for group in self.optimizer.param_groups:
            # Schedulers that only lower a rate, as on plateaus, do not record the first one.
            group.setdefault("initial_lr", _copy(group["lr"]))
        if len(set(map(float, self.read()))) > 1:
            raise StateError(
                f"base_lr must be the one base of all param groups, but the "
                f"{type(schedulers[0]).__name__} has {self.read()}; bind a function that sets each"
            )

    def write(self, value: Any) -> None:
        for nth, (group, old) in enumerate(zip(self._groups(), self._bases(), strict=True)):
            if not (value > 0 and old > 0):
                raise StateError(
                    f"the base of a schedule must be above 0, because all rates are in proportion "
                    f"to it, but it is {float(old)} and should become {value}"
                )
            factor = value / float(old)
            for key in [key for key in SCALED if key in group]:
                group[key] = overwrite(group[key], float(group[key]) * factor)
            group["initial_lr"] = overwrite(group["initial_lr"], value)
            for scheduler in self._each():
                _rebase(scheduler, nth, base=value, factor=factor, present=group["lr"])

    def read(self) -> Sequence[Any]:
        based = [one.base_lrs for one in self.schedulers if hasattr(one, "base_lrs")]
        return [base for bases in based for base in bases] or self._bases()

    def _bases(self) -> Sequence[Any]:
        based = [one.base_lrs for one in self._each() if hasattr(one, "base_lrs")]
        return based[0] if based else [group["initial_lr"] for group in self._groups()]

    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def _each(self) -> Iterator[Any]:
        """Yield each scheduler once, including those inside others."""
        yield from {id(one): one for two in self.schedulers for one in all_of(two)}.values()


def _optimizer_of(schedulers: Sequence[Any]) -> Optimizer:
    for scheduler in schedulers:
        if not isinstance(getattr(scheduler, "optimizer", None), Optimizer):
            raise StateError(
                f"base_lr must be of a scheduler, which has an optimizer, but got an "
                f"object of type {type(scheduler).__name__}"
            )
    optimizer: Optimizer = schedulers[0].optimizer
    if any(scheduler.optimizer is not optimizer for scheduler in schedulers):
        raise StateError(
            "base_lr must be of schedulers of one optimizer, but these have several; bind a list: "
            "[ramet.torch.base_lr(scheduler), ramet.torch.base_lr(other)]"
        )
    return optimizer


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def all_of(scheduler: Any) -> Iterator[Any]:
    """Yield a scheduler and those inside it."""
    yield scheduler
    for inner in getattr(scheduler, "_schedulers", ()):
        yield from all_of(inner)


def peak_of(scheduler: Any) -> str | None:
    """Say how far a schedule rises above its base; None if it does not."""
    group = scheduler.optimizer.param_groups[0]
    peaks = [group["max_lr"]] if "max_lr" in group else getattr(scheduler, "max_lrs", ())
    bases = getattr(scheduler, "base_lrs", ())
    if not peaks or not bases or float(bases[0]) == 0:
        return None
    times = float(peaks[0]) / float(bases[0])
    return f"the peak of this {type(scheduler).__name__} is {times:g} times its base"


def _rebase(scheduler: Any, nth: int, *, base: float, factor: float, present: Any) -> None:
    """Set the new base of one scheduler in one group, and the current rate."""
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs[nth] = overwrite(scheduler.base_lrs[nth], base)
    if hasattr(scheduler, "max_lrs"):
        scheduler.max_lrs[nth] = overwrite(scheduler.max_lrs[nth], scheduler.max_lrs[nth] * factor)
    if hasattr(scheduler, "_last_lr"):
        # Set and not scaled, because a scheduler shares this list with one inside it.
        scheduler._last_lr[nth] = _copy(present)  # noqa: SLF001 - what get_last_lr() returns
