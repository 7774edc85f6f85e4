"""What members draw at random for their steps, made ahead while others are trained."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from ramet.engine.run.turn import Turn
from ramet.randomness import Draws
from ramet.state.tree import Tree
from ramet.torch.functions import Functions, Tensors, draw, map_leaves, tensors
from ramet.torch.tensors import borrow, empty_on_host


class _Drawn(NamedTuple):
    """What was drawn for the first steps of turns."""

    # Each turn's generator, for the steps after those.
    rngs: Sequence[np.random.Generator]
    # In memory that a GPU reads by itself, where there is any.
    stacked: Tensors


class _Ahead(NamedTuple):
    """What is drawn for turns before they begin."""

    keys: Sequence[Draws]
    steps: int
    drawn: Future[_Drawn]


class Drawing:
    """Draws for several turns, and stacks what they drew on the device.

    While a GPU trains, a thread draws for the turns that most likely follow.

    Args:
        functions: The functions of the task.
        device: The device.
    """

    def __init__(self, functions: Functions, device: str) -> None:
        self._functions, self._device = functions, device
        self._on_gpu = "cuda" in str(device)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ramet-draw")
        # Of the turns that are trained: their keys, the steps of their first stretch, and their
        # generators.
        self._keys: Sequence[Draws] = []
        self._steps = 0
        self._rngs: Sequence[np.random.Generator] = []
        self._ahead: _Ahead | None = None
        # Whether the turns that followed so far are those that were expected.
        self._expected = True

    def take(self, turns: Sequence[Turn], nth: int, steps: int) -> Tensors:
        """Return what turns draw for their next steps, stacked.

        Args:
            turns: The turns.
            nth: Which stretch of the turns it is.
            steps: Its steps.
        """
        if nth > 0:
            return self._send(self._draw(self._rngs, steps))
        ahead, self._ahead = self._ahead, None
        self._keys, self._steps = [turn.draws for turn in turns], steps
        # An error is raised anew below, where it is explained.
        if ahead is not None and ahead.drawn.exception() is None:
            if (ahead.keys, ahead.steps) == (self._keys, steps):
                self._rngs, stacked = ahead.drawn.result()
                return self._send(stacked)
            self._expected = False
        self._rngs = [turn.rng for turn in turns]
        return self._send(self._draw(self._rngs, steps))

    def draw_ahead(self, then: Callable[[], object]) -> None:
        """Begin to draw for the next turns of the members that were drawn for last.

        Args:
            then: Called once that is done, so that it does not share Python's lock with it.
        """
        if not self._on_gpu or not self._expected:
            then()
            return
        keys = [key.following() for key in self._keys]
        drawn = self._thread.submit(self._draw_first, keys, self._steps, then)
        self._ahead = _Ahead(keys, self._steps, drawn)

    def _draw_first(self, keys: Sequence[Draws], steps: int, then: Callable[[], object]) -> _Drawn:
        """Draw for the first steps of turns."""
        try:
            rngs = [key.training() for key in keys]
            drawn = self._draw_each(rngs, steps)
        finally:
            then()
        return _Drawn(rngs, self._stack(drawn))

    def _draw(self, rngs: Sequence[np.random.Generator], steps: int) -> Tensors:
        return self._stack(self._draw_each(rngs, steps))

    def _draw_each(self, rngs: Sequence[np.random.Generator], steps: int) -> list[Tree]:
        return [draw(self._functions, rng, steps) for rng in rngs]

    def _stack(self, drawn: Sequence[Tree]) -> Tensors:
        stacked = map_leaves(_stack, *drawn)
        return map_leaves(_copy_for_gpu, stacked) if self._on_gpu else stacked

    def _send(self, stacked: Tensors) -> Tensors:
        return map_leaves(lambda each: each.to(self._device, non_blocking=True), stacked)


def _stack(*each: Any) -> torch.Tensor:
    """Return what members drew as one tensor."""
    if all(type(leaf) is np.ndarray for leaf in each):
        # One conversion takes a fraction of the time of a thousand.
        return borrow(np.stack(each))
    return torch.stack([tensors(leaf, "cpu") for leaf in each])


def _copy_for_gpu(tensor: torch.Tensor) -> torch.Tensor:
    return empty_on_host(tensor.shape, tensor.dtype).copy_(tensor)
