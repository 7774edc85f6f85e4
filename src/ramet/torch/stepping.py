"""Which optimizers take steps in a turn, to notice if they are not those of the state."""

import functools
from collections.abc import Mapping

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from ramet.warned import warn_once

# The types of the optimizers that took a step since the turn began, by their param groups. A
# wrapped optimizer and its wrapper have the same list of these.
STEPPED: dict[int, str] = {}


def watch_steps() -> None:
    """Forget all steps, because a turn begins, and note those that follow."""
    _hook()
    STEPPED.clear()


def warn_of_others_steps(optimizers: Mapping[str, Optimizer]) -> None:
    """Warn if none of a state's optimizers took a step in a turn, and another one did."""
    own = {id(one.param_groups) for one in optimizers.values()}
    if not own or not STEPPED or own & STEPPED.keys():
        return
    names = ", ".join(f"{type(one).__name__} ({label})" for label, one in optimizers.items())
    warn_once(
        f"the state's model and optimizer should be those that the loop trains, but {names} took "
        f"no step in a turn in which another {' and '.join(sorted({*STEPPED.values()}))} did, so "
        f"that what was trained is in no checkpoint; build both once, before the loop over "
        f"session.turns(state), and use them there; without an optimizer to keep, write "
        f"ramet.torch.State(model)"
    )


@functools.cache
def _hook() -> None:
    """Register the hook, once in a process."""
    register_optimizer_step_post_hook(_note_step)


def _note_step(optimizer: Optimizer, *_: object) -> None:
    # Compiled steps are not traced through this.
    if not torch.compiler.is_compiling():
        STEPPED[id(optimizer.param_groups)] = type(optimizer).__name__
