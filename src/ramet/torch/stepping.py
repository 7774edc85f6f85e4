"""Which optimizers take steps in a turn, to notice if they are not those of the state."""

import functools
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from ramet.warned import warn_once

# How many steps each optimizer of this process has taken since the first turn.
STEPS: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()


class Steps:
    """The steps of all optimizers, from the beginning of a turn to its end."""

    def __init__(self) -> None:
        # None before the first turn.
        self._before: WeakKeyDictionary[Optimizer, int] | None = None

    def begin_turn(self) -> None:
        """Note which steps are of earlier turns."""
        _hook()
        self._before = STEPS.copy()

    def warn_of_others(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Warn if none of a state's optimizers took a step in this turn, and another one did."""
        if self._before is None or not optimizers:
            return
        stepped = [one for one, count in STEPS.items() if count != self._before.get(one)]
        # A wrapped optimizer and its wrapper have the same list of groups.
        own = {id(one.param_groups) for one in optimizers.values()}
        if not stepped or any(id(one.param_groups) in own for one in stepped):
            return
        names = ", ".join(f"{type(one).__name__} ({label})" for label, one in optimizers.items())
        others = " and ".join(sorted({type(one).__name__ for one in stepped}))
        warn_once(
            f"the state's model and optimizer should be those that the loop trains, but {names} "
            f"took no step in a turn in which another {others} did, so that what was trained may "
            f"be in no checkpoint; build both once, before the loop over session.turns(state), and "
            f"use them there; without an optimizer to keep, write ramet.torch.State(model)"
        )


@functools.cache
def _hook() -> None:
    """Register the hook, once in a process."""
    register_optimizer_step_post_hook(_note_step)


def _note_step(optimizer: Optimizer, *_: object) -> None:
    # Compiled steps are not traced through this.
    if not torch.compiler.is_compiling():
        STEPS[optimizer] = STEPS.get(optimizer, 0) + 1
