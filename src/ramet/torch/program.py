"""A program that trains several members at once, with their states stacked on the device."""

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch

from ramet.engine.run.scores import require_score
from ramet.engine.run.turn import Turn
from ramet.engine.workers.device import Busy, Scores
from ramet.engine.workers.lanes import Lanes
from ramet.errors import RametError, UsageError
from ramet.mapping.arrays import SpaceArrays
from ramet.mapping.chunks import TRIAL_STEPS, Chunk, Chunks
from ramet.mapping.once import Once
from ramet.state.stacks import Stack
from ramet.state.tree import Tree
from ramet.torch.drawing import Drawing
from ramet.torch.functions import (
    Functions,
    Tensors,
    Traced,
    arrays,
    begin,
    check_same,
    check_step,
    leaves,
    map_leaves,
    row,
    tensors,
)
from ramet.torch.graphs import do_nothing
from ramet.torch.tensors import empty_on_host
from ramet.torch.ways import Compile, Plain, Ways

# States, hyperparameters and random numbers, each stacked.
Members: TypeAlias = tuple[Tensors, Tensors, Tensors]


class Program:
    """Trains stacked states: the first axis of each tensor is that of the members."""

    def __init__(
        self,
        functions: Functions,
        numbers: SpaceArrays,
        *,
        chunk: Chunk,
        device: str,
        compile: Compile,  # noqa: A002 - as torch calls it
    ) -> None:
        self._functions, self._numbers, self._device = functions, numbers, device
        self._traced = Traced(functions)
        self.chunks = Chunks(chunk, self.is_full)
        plain = Plain(self._call, self._step, self._scores)
        self._on_gpu = "cuda" in str(device)
        self._drawing = Drawing(functions, device)
        self._ways = Ways(plain, self.chunks, compile=compile, device=device)
        # Every state must have the structure of this one.
        self._like = begin(functions, np.random.default_rng(0))
        self.size = sum(leaf.nbytes for leaf in leaves(self._like))

    def prepare(self, turns: Sequence[Turn], lanes: Lanes) -> None:
        """Do nothing ahead: steps are captured with the states that they train."""

    def init(self, turns: Sequence[Turn]) -> Tensors:
        return self._stack([begin(self._functions, turn.init_rng) for turn in turns])

    def restore(self, trees: Sequence[Tree]) -> Tensors:
        for tree in trees:
            check_same(self._like, tree)
        return self._stack(trees)

    def gather(self, stacks: Sequence[Tensors], places: Sequence[int]) -> Tensors:
        if len(stacks) == 1 and list(places) == list(range(len(leaves(stacks[0])[0]))):
            return stacks[0]
        index = torch.tensor(places, device=self._device)
        joined = (
            stacks[0] if len(stacks) == 1 else map_leaves(lambda *each: torch.cat(each), *stacks)
        )
        return map_leaves(lambda tensor: tensor[index], joined)

    def copy(self, states: Tensors, places: Sequence[int]) -> Tensors:
        # No training writes to the states that it is given.
        return self.gather([states], places)

    @torch.no_grad()
    def train(
        self,
        states: Tensors,
        turns: Sequence[Turn],
        stretches: Sequence[int],
        lanes: Lanes,
        busy: Busy,
    ) -> tuple[Tensors, Scores]:
        hparams = self._numbers.of_all([turn.hparams.peek() for turn in turns])
        own = tensors(hparams, self._device)
        if not lanes.plain:
            states, own = select(states, lanes.filled), select(own, lanes.filled)
        if len(stretches) == 1:
            # One after the other, because both need Python's lock.
            busy = Once(functools.partial(self._drawing.draw_ahead, busy))
        scores = []
        self._ways.begin_turn(busy)
        for nth, steps in enumerate(stretches):
            drawn = self._drawing.take(turns, nth, steps)
            if not lanes.plain:
                drawn = select(drawn, lanes.filled)
            members = states, own, drawn
            trial = functools.partial(self._trial, members, min(steps, TRIAL_STEPS))
            chunk = self.chunks.of(len(lanes.filled), trial)
            states, score = self.stretch(chunk, *members, steps)
            scores.append(score)
            busy()
        if len(stretches) > 1:
            # Not before: one thread draws at a time.
            self._drawing.draw_ahead(do_nothing)
        for turn in turns:
            self._traced.read_from(turn)
        rows = torch.stack(scores, dim=1).cpu().double()[lanes.of]
        check_step(self._like, arrays(row(states, 0)))
        return self.gather([states], lanes.of), rows.tolist()

    def capture(self, states: Tensors) -> Callable[[], Stack]:
        if not self._on_gpu:
            return lambda: _as_stack(arrays(states))
        # Copied before anything else is queued, so that it may be trained on.
        copied = map_leaves(_copy_to_host, states)
        done = torch.cuda.current_stream(self._device).record_event()

        def wait() -> Stack:
            done.synchronize()
            return _as_stack(arrays(copied))

        return wait

    def is_full(self, error: Exception) -> bool:
        on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
        return on_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError)

    def stretch(
        self, chunk: int, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int
    ) -> tuple[Tensors, torch.Tensor]:
        """Train all members up to their next score, ``chunk`` of them at once."""
        try:
            return self._ways.train(chunk, (states, hparams, drawn), steps)
        except Exception as error:
            if not self.is_full(error):
                raise
            trial = functools.partial(self._trial, (states, hparams, drawn), 1)
            raise self.chunks.explain(error, chunk, trial) from error

    def _call(
        self, chunk: int, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int
    ) -> tuple[Tensors, torch.Tensor]:
        if chunk == 1:
            return self._one_by_one(states, hparams, drawn, steps)
        with self._traced.in_one_piece(states, hparams, drawn):
            after = self._step(chunk, states, hparams, row_of_each(drawn, 0))
        for nth in range(1, steps):
            after = self._step(chunk, after, hparams, row_of_each(drawn, nth))
        return after, self._scores(chunk, after)

    def _one_by_one(
        self, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int
    ) -> tuple[Tensors, torch.Tensor]:
        """Train one member after the other, without torch.vmap, which would only slow it down."""
        each, scores = [], []
        for place in range(len(leaves(states)[0])):
            state, values, own = (row(part, place) for part in (states, hparams, drawn))
            with self._traced.in_one_piece(state, values, own):
                state = self._traced.step(state, values, row(own, 0))
            for nth in range(1, steps):
                state = self._traced.step(state, values, row(own, nth))
            each.append(state)
            score = require_score(self._functions.evaluate(state))
            scores.append(torch.as_tensor(score, device=self._device))
        return map_leaves(lambda *parts: torch.stack(parts), *each), one_each(torch.stack(scores))

    def _step(self, chunk: int, states: Tensors, hparams: Tensors, drawn: Tensors) -> Tensors:
        step = torch.vmap(self._traced.step, in_dims=(0, 0, 0), chunk_size=chunk)
        try:
            return step(states, hparams, drawn)
        except Exception as error:
            if self.is_full(error) or isinstance(error, RametError):
                raise
            raise self._explain(error, states, hparams, drawn) from error

    def _scores(self, chunk: int, states: Tensors) -> torch.Tensor:
        try:
            scores: torch.Tensor = torch.vmap(self._functions.evaluate, chunk_size=chunk)(states)
        except (RuntimeError, ValueError) as error:
            if "vmap" not in str(error):
                raise
            raise UsageError(
                f"a task's evaluate must be one that torch.vmap can map over members, and return a "
                f"tensor of one number: no .item(), float() or `if` of a tensor: "
                f"{str(error).splitlines()[0]}"
            ) from error
        return one_each(scores)

    def _trial(self, members: "Members", steps: int, chunk: int) -> Callable[[], object]:
        """Return a function that trains ``chunk`` members for a few steps and drops the result."""
        states, hparams, drawn = (map_leaves(lambda each: each[:chunk], part) for part in members)
        # The new states of all members must fit into memory as well.
        room = map_leaves(torch.clone, members[0])

        def train() -> object:
            _, scores = self._call(chunk, states, hparams, drawn, steps)
            return scores.sum().item(), room

        return train

    def _stack(self, trees: Sequence[Tree]) -> Tensors:
        on_host = [tensors(tree, "cpu") for tree in trees]
        return map_leaves(lambda *each: torch.stack(each).to(self._device), *on_host)

    def _explain(
        self, error: Exception, states: Tensors, hparams: Tensors, drawn: Tensors
    ) -> Exception:
        """Return an error that names the hyperparameters because of which mapping failed.

        If the step raises for a single member too, return its own error.
        """
        if not self._is_mapped((), states, hparams, drawn):
            return error
        blamed = [name for name in hparams if not self._is_mapped((name,), states, hparams, drawn)]
        what = f"hyperparameter {blamed} is" if blamed else "something in it is"
        return UsageError(
            f"a task's step must be one that torch.vmap can map over members, but {what} used as "
            f"a Python value, or random: use torch.where instead of `if`, no .item(), and draw "
            f"all random numbers in draw(): {str(error).splitlines()[0]}"
        )

    def _is_mapped(
        self, names: Sequence[str], states: Tensors, hparams: Tensors, drawn: Tensors
    ) -> bool:
        """Say whether the step works mapped over only these hyperparameters, or not mapped."""
        first = row(hparams, 0)
        state, drawn_first = map_leaves(torch.clone, row(states, 0)), row(drawn, 0)

        def step(values: Tensors) -> Tensors:
            return self._traced.step(state, {**first, **values}, drawn_first)

        values = {name: hparams[name] for name in names}
        try:
            torch.vmap(step)(values) if names else step(values)
        except Exception:  # noqa: BLE001 - any error means that it does not work
            return False
        return True


def _copy_to_host(tensor: torch.Tensor) -> torch.Tensor:
    """Begin to copy a tensor to memory that a GPU writes by itself."""
    return empty_on_host(tensor.shape, tensor.dtype).copy_(tensor, non_blocking=True)


def _as_stack(whole: Tree) -> Stack:
    return Stack(whole, rows=len(next(iter(leaves(whole)))))


def select(stacked: Tensors, places: list[int]) -> Tensors:
    """Return the members at these places."""
    return map_leaves(lambda each: each[places], stacked)


def row_of_each(stacked: Tensors, nth: int) -> Tensors:
    """Return one row of each member: its part at a place of the second axis."""
    return map_leaves(lambda each: each[:, nth], stacked)


def one_each(scores: torch.Tensor) -> torch.Tensor:
    """Return scores, one for each member; refuse several for a member."""
    if scores.ndim > 1:
        raise UsageError(
            f"a task's evaluate must return one number, but it returned a tensor of shape "
            f"{tuple(scores.shape[1:])}; average several into one"
        )
    return scores
