"""The running average of a state's weights, as a part of the state."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakSet

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from ramet.averaging import Average, check_parts, is_averaged, is_shown, not_shown
from ramet.errors import StateError
from ramet.state import Tree
from ramet.torch.differences import names_differ, numbers_differ
from ramet.torch.parts import Part
from ramet.torch.tensors import Arrays, borrow
from ramet.torch.weights import Place, find, is_weight, refuse_lazy, widen
from ramet.warned import warn_once

UPDATES, SCORED, WEIGHTS = "updates", "scored", "weights"
BY_HAND = "call state.update_average() after each step"


class AveragePart:
    """An average of weights, updated after each step of an optimizer, or by hand.

    Args:
        average: The kind of average.
        parts: The other parts of the state.
        optimizer: The average follows its steps; None to update the average by hand.
    """

    may_refuse = False

    def __init__(
        self, average: Average, parts: Mapping[str, Part], optimizer: Optimizer | None
    ) -> None:
        self.kind = repr(average)
        self._average, self._optimizer = average, optimizer
        self._weights, self._others = _divide(average, find(parts))
        self._means = [widen(tensor.detach()).clone() for tensor in self._live()]
        self._updates = 0
        # Whether the last update was by hand, and not by a step of the optimizer.
        self._is_by_hand = False
        # Which tensors had infinite numbers after the first update; None before it is known.
        self._infinite: list[int] | None = None
        # Whether the average is what the modules have now.
        self._is_shown = False
        self._turn: _Turn | None = None
        WATCHING.add(self)
        _hook()

    def begin_turn(self) -> None:
        """Begin to watch whether the average is updated and evaluated."""
        self._refuse_shown("a turn must begin")
        self._fit()
        self._turn = _Turn(self._updates, self._versions())

    def end_turn(self) -> None:
        """Refuse a turn in which the average was forgotten."""
        self._refuse_shown("a turn must end")
        turn, self._turn = self._turn, None
        if turn is None:
            return
        if turn.updates == self._updates:
            self._explain_no_update(trained=turn.versions != self._versions())
        if self._average.scored and not turn.shown:
            raise not_shown(self._average)

    def before_step(self, optimizer: Optimizer) -> None:
        """Refuse a step of any optimizer on weights that the average stands in for."""
        if not self._is_shown:
            return
        shown = {id(tensor) for tensor in self._live()}
        if any(id(each) in shown for group in optimizer.param_groups for each in group["params"]):
            raise is_shown("weights must be trained")

    def after_step(self, optimizer: Optimizer) -> None:
        """Update the average if the step was of the optimizer that it follows."""
        if self._follows(optimizer) and not _is_capturing() and not _was_skipped(optimizer):
            self._update(by_hand=False)

    def _follows(self, optimizer: Optimizer) -> bool:
        followed = self._optimizer
        if followed is None or optimizer is followed:
            return followed is not None
        # A wrapper has the groups of the optimizer that it wraps. If PyTorch sees the wrapper's
        # own steps, those within it do not count.
        is_seen = getattr(type(followed).step, "hooked", False)
        return not is_seen and optimizer.param_groups is followed.param_groups

    def update(self) -> None:
        """Update the average with the present weights."""
        if _is_capturing():
            raise StateError(
                "an average must be updated outside of a CUDA graph, where each update has its own "
                "share, but state.update_average() is being captured; call it after each replay"
            )
        self._update(by_hand=True)

    @torch.no_grad()
    def _update(self, *, by_hand: bool) -> None:
        self._refuse_shown("weights must be trained")
        # Steps that warm up what is then captured are seen, those that are captured are not.
        if self._is_by_hand and not by_hand:
            raise StateError(
                "an average must be updated once a step, but it is updated after each step of the "
                "state's optimizer by itself, and by state.update_average() as well; leave that out"
            )
        self._is_by_hand = by_hand
        if self._updates == 0:
            self._fit()
        self._updates += 1
        live = [widen(tensor) for tensor in self._live()]
        if self._updates == 1:
            # Weights that the average was first of may have been anything.
            torch._foreach_copy_(self._means, live)
            return
        kept = [(nth, self._means[nth].clone()) for nth in self._find_infinite()]
        torch._foreach_lerp_(self._means, live, self._average.share(self._updates))
        for nth, before in kept:
            mean = self._means[nth]
            mean.copy_(torch.where(live[nth] == before, before, mean))

    def _find_infinite(self) -> list[int]:
        """Return which tensors have infinite numbers, as masks do; these are no means."""
        if self._infinite is None:
            self._infinite = [
                nth for nth, mean in enumerate(self._means) if not bool(mean.isfinite().all())
            ]
        return self._infinite

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Have the modules hold the average, and give them back their weights at the end."""
        if self._turn is not None:
            self._turn.shown = True
        # Before the first step the average is of no weights yet.
        if self._is_shown or self._updates == 0:
            yield
            return
        self._fit()
        kept = [(place, place.read()) for place in (*self._weights, *self._others)]
        tensors = [tensor for _, tensor in kept]
        with torch.no_grad():
            before = [tensor.detach().clone() for tensor in tensors]
        self._is_shown, versions = True, self._versions()
        try:
            with torch.no_grad():
                torch._foreach_copy_(tensors[: len(self._means)], self._means)
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(tensors, before)
            for place, tensor in kept:
                place.holder[place.key] = tensor
            self._is_shown = False
            if self._turn is not None and self._turn.versions == versions:
                self._turn.versions = self._versions()

    def capture(self, arrays: Arrays) -> Tree:
        means = {name: arrays.of(mean, f"the average of {name}") for name, mean in self._all()}
        return {UPDATES: self._updates, SCORED: self._average.scored, WEIGHTS: means}

    def differences(self, saved: Tree) -> Iterator[str]:
        self._refuse_shown("a state must be restored")
        self._fit()
        here = dict(self._all())
        if not isinstance(saved, dict) or not is_saved(saved):
            yield "the average is not one that was saved by ramet"
            return
        yield from names_differ("the average", saved[WEIGHTS], here)
        for name in [name for name in here if name in saved[WEIGHTS]]:
            yield from numbers_differ(f"the average of {name!r}", saved[WEIGHTS][name], here[name])

    def restore(self, saved: Tree) -> None:
        self._updates, self._infinite = saved[UPDATES], None
        for name, mean in self._all():
            mean.copy_(borrow(saved[WEIGHTS][name]))

    def _all(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield each mean under all its names."""
        for place, mean in zip(self._weights, self._means, strict=True):
            yield from ((name, mean) for name in place.names)

    def _live(self) -> list[torch.Tensor]:
        return [place.read() for place in self._weights]

    def _versions(self) -> list[int]:
        """Return numbers that change when weights do, except in graphs of CUDA."""
        # Not of buffers, which may change without a step.
        trained = [tensor for tensor in self._live() if tensor.requires_grad]
        return [tensor._version for tensor in trained]  # noqa: SLF001 - there is no other way to know

    def _fit(self) -> None:
        """Move the average to where the weights are, if they have moved."""
        self._means = [
            mean.to(live.device, widen(live).dtype)
            for mean, live in zip(self._means, self._live(), strict=True)
        ]

    def _refuse_shown(self, law: str) -> None:
        if self._is_shown:
            raise is_shown(law)

    def _explain_no_update(self, *, trained: bool) -> None:
        """Refuse that trained weights were not averaged; warn if none seem to be trained."""
        said = (
            f"an average must be updated after each step, because the state was made with "
            f"average={self.kind}, but it was not updated in a turn"
        )
        if self._optimizer is None:
            why = f"the state has no optimizer with steps to follow; {BY_HAND}"
        else:
            why = (
                f"the state's {type(self._optimizer).__name__} took no step that Python sees; if "
                f"steps are compiled, captured or those of another optimizer, {BY_HAND}"
            )
        if trained:
            raise StateError(f"{said} that changed weights: {why}")
        warn_once(f"{said}: {why}")


def _divide(average: Average, places: list[Place]) -> tuple[list[Place], list[Place]]:
    """Return the weights to average, and what is beside them, such as counts of batches."""
    refuse_lazy(places)
    check_parts(average, [name for one in places if is_weight(one.read()) for name in one.names])
    weights: list[Place] = []
    others: list[Place] = []
    for place in places:
        chosen = is_weight(place.read()) and any(is_averaged(average, n) for n in place.names)
        (weights if chosen else others).append(place)
    return weights, others


class _Turn:
    """What is known of the average since a turn began."""

    def __init__(self, updates: int, versions: list[int]) -> None:
        self.updates, self.versions = updates, versions
        # Whether the average was evaluated.
        self.shown = False


def is_saved(saved: dict[Any, Any]) -> bool:
    """Say whether a part of a saved state is an average."""
    return (
        isinstance(saved.get(UPDATES), int)
        and saved[UPDATES] >= 0
        and isinstance(saved.get(SCORED), bool)
        and isinstance(saved.get(WEIGHTS), dict)
    )


def _is_capturing() -> bool:
    """Say whether a CUDA graph captures what runs now, to run it again without Python."""
    is_used: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # PyTorch has no types here
    return is_used and torch.cuda.is_current_stream_capturing()


def _was_skipped(optimizer: Optimizer) -> bool:
    """Say whether a fused optimizer left its step out, because a GradScaler found infinities."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


WATCHING: WeakSet[AveragePart] = WeakSet()


@functools.cache
def _hook() -> None:
    """Register the hooks, once in a process."""
    register_optimizer_step_pre_hook(_before_step)
    register_optimizer_step_post_hook(_after_step)


# Compiled steps are not traced through these.
def _before_step(optimizer: Optimizer, *_: object) -> None:
    if not torch.compiler.is_compiling():
        for average in list(WATCHING):
            average.before_step(optimizer)


def _after_step(optimizer: Optimizer, *_: object) -> None:
    if not torch.compiler.is_compiling():
        for average in list(WATCHING):
            average.after_step(optimizer)
