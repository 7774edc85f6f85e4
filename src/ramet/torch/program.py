"""Many members trained as one, their states stacked on the device."""

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch

from ramet.engine.run.scores import returned_score
from ramet.engine.run.turn import Turn
from ramet.engine.workers.lanes import Lanes
from ramet.errors import RametError, UsageError
from ramet.mapping import MEASURED, Chunk, Chunks, SpaceArrays
from ramet.state.tree import Tree
from ramet.torch.task import (
    Functions,
    Tensors,
    Traced,
    arrays,
    begin,
    check_same,
    check_step,
    draw,
    leaves,
    mapped,
    row,
    tensors,
)
from ramet.torch.ways import Compile, Plain, Ways

# States, hyperparameters and what was drawn, each stacked.
Members: TypeAlias = tuple[Tensors, Tensors, Tensors]


class Program:
    """Trains states stacked on a device: each tensor has one more axis, the first."""

    def __init__(
        self,
        functions: Functions,
        numbers: SpaceArrays,
        *,
        chunk: Chunk,
        device: str,
        compile: Compile = "auto",  # noqa: A002 - as torch calls it
    ) -> None:
        self._functions, self._numbers, self._device = functions, numbers, device
        self._traced = Traced(functions)
        self.chunks = Chunks(chunk, self.is_full)
        plain = Plain(self._call, self._step, self._scores)
        self._ways = Ways(plain, self.chunks, compile=compile, device=device)
        # What every state must be like; drawn of any generator.
        self._like = begin(functions, np.random.default_rng(0))
        self.size = sum(leaf.nbytes for leaf in leaves(self._like))

    def begun(self, turns: Sequence[Turn]) -> Tensors:
        return self._stacked([begin(self._functions, turn.init_rng) for turn in turns])

    def restored(self, trees: Sequence[Tree]) -> Tensors:
        for tree in trees:
            check_same(self._like, tree)
        return self._stacked(trees)

    def taken(self, stacks: Sequence[Tensors], places: Sequence[int]) -> Tensors:
        if len(stacks) == 1 and list(places) == list(range(len(leaves(stacks[0])[0]))):
            return stacks[0]
        index = torch.tensor(places, device=self._device)
        joined = stacks[0] if len(stacks) == 1 else mapped(lambda *each: torch.cat(each), *stacks)
        return mapped(lambda tensor: tensor[index], joined)

    @torch.no_grad()
    def trained(
        self, states: Tensors, turns: Sequence[Turn], stretches: Sequence[int], lanes: Lanes
    ) -> tuple[Tensors, Sequence[Sequence[float]]]:
        hparams = self._stacked([self._numbers.of(turn.hparams.peek()) for turn in turns])
        if not lanes.plain:
            states, hparams = placed(states, lanes.filled), placed(hparams, lanes.filled)
        scores = []
        self._ways.begin_turn()
        for steps in stretches:
            drawn = self._stacked([draw(self._functions, turn, steps) for turn in turns])
            if not lanes.plain:
                drawn = placed(drawn, lanes.filled)
            members = states, hparams, drawn
            trial = functools.partial(self._trial, members, min(steps, MEASURED))
            chunk = self.chunks.of(len(lanes.filled), trial)
            states, score = self.stretch(chunk, *members, steps)
            scores.append(score)
        check_step(self._like, arrays(row(states, 0)))
        for turn in turns:
            self._traced.read_from(turn)
        rows = torch.stack(scores, dim=1).cpu().double()[lanes.of]
        return self.taken([states], lanes.of), rows.tolist()

    def captured(self, states: Tensors) -> list[Tree]:
        whole = arrays(states)
        count = len(next(iter(leaves(whole))))
        return [row(whole, place) for place in range(count)]

    def is_full(self, error: Exception) -> bool:
        on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
        return on_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError)

    def stretch(
        self, chunk: int, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int
    ) -> tuple[Tensors, torch.Tensor]:
        """Train all members up to their next score, so many at once."""
        try:
            return self._ways.train(chunk, (states, hparams, drawn), steps)
        except Exception as error:
            if not self.is_full(error):
                raise
            trial = functools.partial(self._trial, (states, hparams, drawn), 1)
            raise self.chunks.explained(error, chunk, trial) from error

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
        """Train one member after the other, unmapped: mapping over one would only slow it down."""
        each, scores = [], []
        for place in range(len(leaves(states)[0])):
            state, values, own = (row(part, place) for part in (states, hparams, drawn))
            with self._traced.in_one_piece(state, values, own):
                state = self._traced.step(state, values, row(own, 0))
            for nth in range(1, steps):
                state = self._traced.step(state, values, row(own, nth))
            each.append(state)
            score = returned_score(self._functions.evaluate(state))
            scores.append(torch.as_tensor(score, device=self._device))
        return mapped(lambda *parts: torch.stack(parts), *each), one_each(torch.stack(scores))

    def _step(self, chunk: int, states: Tensors, hparams: Tensors, drawn: Tensors) -> Tensors:
        step = torch.vmap(self._traced.step, in_dims=(0, 0, 0), chunk_size=chunk)
        try:
            return step(states, hparams, drawn)
        except Exception as error:
            if self.is_full(error) or isinstance(error, RametError):
                raise
            raise self._explained(error, states, hparams, drawn) from error

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
        """Return what trains so many members a little, and forgets it."""
        states, hparams, drawn = (mapped(lambda each: each[:chunk], part) for part in members)
        # There must be room for what training leaves of all.
        room = mapped(torch.clone, members[0])

        def train() -> object:
            _, scores = self._call(chunk, states, hparams, drawn, steps)
            return scores.sum().item(), room

        return train

    def _stacked(self, trees: Sequence[Tree]) -> Tensors:
        on_host = [tensors(tree, "cpu") for tree in trees]
        return mapped(lambda *each: torch.stack(each).to(self._device), *on_host)

    def _explained(
        self, error: Exception, states: Tensors, hparams: Tensors, drawn: Tensors
    ) -> Exception:
        """Return what to say of a step that raised while it was mapped, and which values did it.

        What would raise with one member alone is the task's own affair.
        """
        if not self._is_mapped((), states, hparams, drawn):
            return error
        blamed = [name for name in hparams if not self._is_mapped((name,), states, hparams, drawn)]
        what = f"hyperparameter {blamed} is" if blamed else "something in it is"
        return UsageError(
            f"a task's step must be one that torch.vmap can map over members, but {what} used as "
            f"a value of Python's, or drawn: use torch.where instead of `if`, no .item(), and "
            f"draw whatever is left to chance in draw(): {str(error).splitlines()[0]}"
        )

    def _is_mapped(
        self, names: Sequence[str], states: Tensors, hparams: Tensors, drawn: Tensors
    ) -> bool:
        """Say whether the step can be mapped over these hyperparameters alone, or not mapped."""
        first = row(hparams, 0)
        state, drawn_first = mapped(torch.clone, row(states, 0)), row(drawn, 0)

        def step(values: Tensors) -> Tensors:
            return self._traced.step(state, {**first, **values}, drawn_first)

        values = {name: hparams[name] for name in names}
        try:
            torch.vmap(step)(values) if names else step(values)
        except Exception:  # noqa: BLE001 - whatever it is, it cannot
            return False
        return True


def placed(stacked: Tensors, places: list[int]) -> Tensors:
    """Return what is at these places of the first axis."""
    return mapped(lambda each: each[places], stacked)


def row_of_each(stacked: Tensors, nth: int) -> Tensors:
    """Return what is at a place of the second axis, behind that of members."""
    return mapped(lambda each: each[:, nth], stacked)


def one_each(scores: torch.Tensor) -> torch.Tensor:
    """Return scores, one a member, or refuse several."""
    if scores.ndim > 1:
        raise UsageError(
            f"a task's evaluate must return one number, but it returned a tensor of shape "
            f"{tuple(scores.shape[1:])}; average several into one"
        )
    return scores
