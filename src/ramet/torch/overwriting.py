"""Schedulers and loops that overwrite the settings of an optimizer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.hooks import RemovableHandle

from ramet.torch.places import GroupEntry
from ramet.torch.schedules import BaseLr, all_of, peak_of
from ramet.warned import warn_once

# Entries that schedulers change with cycle_momentum=True.
MOMENTUM = ("momentum", "betas")
# The latest hook of each optimizer, because a loop may be called again with the same one.
HOOKS: WeakKeyDictionary[Optimizer, RemovableHandle] = WeakKeyDictionary()


class Schedulers:
    """The schedulers of a state, by their labels."""

    def __init__(self, parts: Mapping[str, object]) -> None:
        self._schedulers: dict[str, Any] = {
            label: part
            for label, part in parts.items()
            if hasattr(part, "step") and isinstance(getattr(part, "optimizer", None), Optimizer)
        }

    def foresee(self, name: str, entry: GroupEntry) -> str | None:
        """Say what is going to overwrite a hyperparameter; None if nothing is known to."""
        is_known = any(isinstance(one, LRScheduler) for one in self._of(entry).values())
        return self._explain_known(name, entry) if is_known else None

    def explain(self, name: str, entries: Sequence[GroupEntry]) -> str:
        """Explain what overwrote a hyperparameter, and what to do."""
        known = [self._explain_known(name, entry) for entry in entries]
        if said := next((one for one in known if one is not None), None):
            return said
        if any(entry.key == "lr" for entry in entries):
            return (
                f"the loop itself set it, or a scheduler that is not in the state; "
                f"{_in_the_loop(name)}; {_pass_scheduler(name)}"
            )
        return (
            f"a scheduler, a restored optimizer or the loop itself set it; {_in_the_loop(name)}; "
            f"or take it out of the space"
        )

    def warn_of_others(self, place: BaseLr) -> None:
        """Warn of schedulers that are in the state or in base_lr, but not in both."""
        given, based = _ids(self._schedulers.values()), _ids(place.schedulers)
        missing = [type(one).__name__ for one in place.schedulers if id(one) not in given]
        if missing:
            warn_once(
                f"a schedule must follow its member, but the base of {missing[0]} is bound and "
                f"that scheduler is not in the state, so its position in the schedule is not "
                f"restored; pass it to the state: State(model, optimizer, scheduler)"
            )
        beside = [
            f"{type(one).__name__} ({label})"
            for label, one in self._schedulers.items()
            if one.optimizer is place.optimizer and id(one) not in based
        ]
        if beside:
            warn_once(
                f"base_lr sets the base of the schedulers that are passed to it, and that of "
                f"{', '.join(beside)} for the same optimizer stays as it is; to set them all: "
                f"ramet.torch.base_lr(scheduler, other)"
            )

    def _of(self, entry: GroupEntry) -> dict[str, Any]:
        return {
            label: one
            for label, one in self._schedulers.items()
            if one.optimizer is entry.optimizer
        }

    def _explain_known(self, name: str, entry: GroupEntry) -> str | None:
        suspects = self._of(entry)
        if entry.key == "lr" and suspects:
            who = ", ".join(f"{type(one).__name__} ({label})" for label, one in suspects.items())
            peaks = [peak for one in suspects.values() if (peak := peak_of(one)) is not None]
            return (
                f"the scheduler {who} sets the optimizer's rate; bind the base of its schedule "
                f"instead: bind={_base(name)}{''.join(f'; {peak}' for peak in peaks[:1])}"
            )
        cycling = [one for one in suspects.values() if getattr(one, "cycle_momentum", False)]
        if entry.key in MOMENTUM and cycling:
            return (
                f"the scheduler {type(cycling[0]).__name__} cycles it; build that with "
                f"cycle_momentum=False, or take {name!r} out of the space"
            )
        return None


class FirstSteps:
    """Calls a function before the next two steps of each optimizer that is armed.

    A loop that sets a rate does so before its first step, and most schedulers after it.
    """

    def __init__(self, check: Callable[[str], object]) -> None:
        self._check = check
        # The steps that are still to be checked, by the identity of the optimizer.
        self._armed: dict[int, list[str]] = {}
        self._hooked: set[int] = set()

    def arm(self, optimizers: Iterable[Optimizer]) -> None:
        for optimizer in optimizers:
            self._armed[id(optimizer)] = ["first", "second"]
            if id(optimizer) not in self._hooked:
                self._hooked.add(id(optimizer))
                self._hook(optimizer)

    def disarm(self) -> None:
        self._armed.clear()

    def _hook(self, optimizer: Optimizer) -> None:
        if (former := HOOKS.get(optimizer)) is not None:
            former.remove()
        HOOKS[optimizer] = optimizer.register_step_pre_hook(self._before_step)

    def _before_step(self, optimizer: Optimizer, *_: object) -> None:
        if steps := self._armed.get(id(optimizer)):
            self._check(f"at the {steps.pop(0)} step of the optimizer")


def _ids(schedulers: Iterable[Any]) -> set[int]:
    return {id(inner) for one in schedulers for inner in all_of(one)}


def _base(name: str) -> str:
    return f"{{{name!r}: ramet.torch.base_lr(scheduler)}}"


def _pass_scheduler(name: str) -> str:
    return (
        f"pass the scheduler to the state and bind the base of its schedule: State(model, "
        f"optimizer, scheduler, bind={_base(name)})"
    )


def _in_the_loop(name: str) -> str:
    return (
        f"for a schedule written in the loop, bind={{{name!r}: None}} leaves it to the loop, which "
        f"computes it from turn.hparams[{name!r}]"
    )
