"""A compiled program that trains several members at once, their states stacked on the device."""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray

from ramet.engine.run.turn import Turn
from ramet.engine.workers.device import Busy, Scores
from ramet.engine.workers.lanes import Lanes
from ramet.errors import UsageError
from ramet.first_draws import first_words
from ramet.jax.compiled import Compiled, Members, Shape, fix_types, put
from ramet.jax.functions import Functions, Traced, blank, explain_untraceable, first_key, seed_of
from ramet.jax.trees import Pytree, check_same, fill, to_tree
from ramet.mapping.arrays import SpaceArrays
from ramet.mapping.chunks import TRIAL_STEPS, Chunk, Chunks
from ramet.randomness import Draws
from ramet.state.stacks import Stack
from ramet.state.tree import Tree


class Stacked(NamedTuple):
    """States of several members: the first axis of each leaf is that of rows.

    There may be more rows than members, so that the same program trains fewer of them.
    """

    states: Pytree
    # The row of each member.
    rows: NDArray[np.int_]


class Program:
    """Trains stacked states. Copying, exploring and resting members compile nothing."""

    def __init__(
        self, functions: Functions, numbers: SpaceArrays, *, chunk: Chunk, shard: bool
    ) -> None:
        self._traced = Traced(functions)
        self._numbers = numbers
        self.chunks = Chunks(chunk, self.is_full)
        self._devices = jax.devices() if shard else jax.devices()[:1]
        self._blank = blank(functions)
        self.size = sum(leaf.nbytes for leaf in jax.tree.leaves(self._blank))
        self._compiled = Compiled(self._traced, self._blank, self._devices)
        self._seeds = _Seeds()
        # The rows of the states that were trained last.
        self._rows = 0

        def begin(states: Pytree, place: Any, seed: Any) -> Pytree:
            return put(states, fix_types(functions.init(first_key(seed))), place)

        self._begin = jax.jit(begin, donate_argnums=0)
        self._take, self._move = jax.jit(_gather), jax.jit(_move_rows, donate_argnums=0)

    def prepare(self, turns: Sequence[Turn], lanes: Lanes) -> None:
        """Compile in another thread what the turns will need, while their states are loaded."""
        room = lanes.room
        chunk = self.chunks.known(self._each(room))
        if chunk is None:
            return
        shape = Shape(chunk, self._whole(room, chunk), turns[0].first_stretch)
        # An error is raised, and explained, when the turns are trained.
        with contextlib.suppress(Exception):
            self._compiled.compile_ahead(shape, self._numbers)

    def init(self, turns: Sequence[Turn]) -> Stacked:
        return self._init([seed_of(turn.init_rng) for turn in turns])

    def _init(self, seeds: Sequence[np.uint32]) -> Stacked:
        rows = max(len(seeds), self._rows)
        states = jax.tree.map(lambda leaf: jnp.zeros((rows, *leaf.shape), leaf.dtype), self._blank)
        # One by one, so that first weights do not depend on how many members start.
        for place, seed in enumerate(seeds):
            states = self._begin(states, np.int32(place), seed)
        return Stacked(states, np.arange(len(seeds)))

    def restore(self, trees: Sequence[Tree]) -> Stacked:
        for tree in trees:
            check_same(self._blank, tree)
        rows = max(len(trees), self._rows)
        together = {name: _stack([tree[name] for tree in trees], rows) for name in trees[0]}
        return Stacked(fill(self._blank, together), np.arange(len(trees)))

    def gather(self, stacks: Sequence[Stacked], places: Sequence[int]) -> Stacked:
        index = np.array(places)
        if len(stacks) == 1:
            # They are moved when they are trained, once and in place.
            return Stacked(stacks[0].states, stacks[0].rows[index])
        sizes = [_rows_of(stack.states) for stack in stacks]
        firsts = np.cumsum([0, *sizes[:-1]])
        every = np.concatenate(
            [stack.rows + first for stack, first in zip(stacks, firsts, strict=True)]
        )
        wanted = _fill_up(every[index], max(len(index), self._rows))
        states = self._take([stack.states for stack in stacks], wanted)
        return Stacked(states, np.arange(len(index)))

    def copy(self, states: Stacked, places: Sequence[int]) -> Stacked:
        wanted = _fill_up(states.rows[np.array(places)], max(len(places), self._rows))
        return Stacked(self._take([states.states], wanted), np.arange(len(places)))

    def train(
        self,
        states: Stacked,
        turns: Sequence[Turn],
        stretches: Sequence[int],
        lanes: Lanes,
        busy: Busy,
    ) -> tuple[Stacked, Scores]:
        hparams = self._numbers.of_all([turn.hparams.peek() for turn in turns])
        seeds = self._seeds.of([turn.draws for turn in turns])
        trial = functools.partial(
            self._trial, states, hparams, seeds, min(stretches[0], TRIAL_STEPS)
        )
        chunk = self.chunks.of(self._each(lanes.room), trial)
        filled = _fill_up(np.array(lanes.filled), self._whole(lanes.room, chunk))
        used, scores = len(lanes.filled), []
        now = self._arrange(states, filled, used)
        own = {name: each[filled] for name, each in hparams.items()}
        # XLA needs no lock of Python's to feed a device. It may return only once it has fed all.
        busy()
        for nth, steps in enumerate(stretches):
            now, score = self.stretch(chunk, (now, own, seeds[filled]), nth, steps, used)
            scores.append(score)
        self._rows = len(filled)
        self._seeds.prepare()
        for turn in turns:
            self._traced.read_from(turn)
        lane = np.array(lanes.of)
        rows = np.stack(jax.device_get(scores), axis=1)[lane].astype(float)
        return Stacked(now, lane), rows.tolist()

    def capture(self, states: Stacked) -> Callable[[], Stack]:
        return functools.partial(_save, states)

    def is_full(self, error: Exception) -> bool:
        return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)

    def stretch(
        self, chunk: int, members: Members, nth: int, steps: int, used: int
    ) -> tuple[Pytree, Any]:
        """Train all members up to their next score, ``chunk`` of them at once."""
        try:
            return self._call(chunk, members, nth, steps, used)
        except jax.errors.JaxRuntimeError as error:
            states, hparams, seeds = members
            stack = Stacked(states, np.arange(used))
            trial = functools.partial(self._trial, stack, hparams, seeds, steps)
            raise self.chunks.explain(error, chunk, trial) from error

    def _each(self, room: int) -> int:
        """Return how many members each device trains."""
        return -(-room // len(self._devices))

    def _whole(self, count: int, chunk: int) -> int:
        """Return the rows of so many members in full chunks on every device."""
        whole = chunk * len(self._devices)
        return -(-count // whole) * whole

    def _trial(
        self, states: Stacked, hparams: Mapping[str, Any], seeds: Any, steps: int, chunk: int
    ) -> Callable[[], object]:
        """Return a function that trains ``chunk`` members a little and drops the result."""
        used = min(len(states.rows), chunk * len(self._devices))
        filled = _fill_up(np.arange(used), self._whole(used, chunk))
        if any(leaf.is_deleted() for leaf in jax.tree.leaves(states.states)):
            # Training consumed them before it failed. Others need as much memory.
            states = self._init([np.uint32(0)] * len(states.rows))
        now = self._take([states.states], states.rows[filled])
        own, seeds = {name: each[filled] for name, each in hparams.items()}, seeds[filled]

        def train() -> object:
            nonlocal now
            now, scores = self._call(chunk, (now, own, seeds), 0, steps, len(filled))
            return np.asarray(scores)

        return train

    def _call(
        self, chunk: int, members: Members, nth: int, steps: int, used: int
    ) -> tuple[Pytree, Any]:
        shape = Shape(chunk, len(members[2]), steps)
        try:
            return self._compiled.train(shape, members, nth, used)
        except (jax.errors.JaxRuntimeError, UsageError):
            raise
        except Exception as error:
            first = jax.tree.map(lambda leaf: leaf[0], members)
            raise explain_untraceable(
                self._traced, error, *first, np.uint32(nth), steps=steps
            ) from error

    def _arrange(self, stack: Stacked, filled: NDArray[np.int_], used: int) -> Pytree:
        """Return states with each in its own lane; those that are there already are consumed."""
        wanted = stack.rows[filled]
        if _rows_of(stack.states) != len(filled):
            return self._take([stack.states], wanted)
        to = np.flatnonzero(wanted[:used] != np.arange(used))
        if not len(to):
            return stack.states
        # Their number is rounded up, so that few numbers are compiled.
        to = np.pad(to, (0, (1 << (len(to) - 1).bit_length()) - len(to)), mode="edge")
        return self._move(stack.states, wanted[to], to)


class _Seeds:
    """The seeds of keys for turns, those of the next ones found ahead."""

    def __init__(self) -> None:
        self._draws: list[Draws] = []
        self._found = np.zeros(0, np.uint32)

    def of(self, draws: list[Draws]) -> NDArray[np.uint32]:
        """Return the seed of each turn."""
        if draws != self._draws:
            self._draws, self._found = draws, first_words(draws)
        return self._found

    def prepare(self) -> None:
        """Find the seeds of the next turns of the same members, which most likely follow."""
        self.of([each.following() for each in self._draws])


def _save(states: Stacked) -> Stack:
    rows, arrays = states.rows, to_tree(states.states)
    plain = np.array_equal(rows, np.arange(len(rows)))
    return Stack(
        {name: array[: len(rows)] if plain else array[rows] for name, array in arrays.items()},
        rows=len(rows),
    )


def _rows_of(states: Pytree) -> int:
    return len(jax.tree.leaves(states)[0])


def _fill_up(places: NDArray[np.int_], rows: int) -> NDArray[np.int_]:
    """Return places for all rows; those to spare get the first place again."""
    return np.concatenate([places, np.repeat(places[:1], rows - len(places))])


def _stack(arrays: Sequence[Any], rows: int) -> NDArray[Any]:
    """Return arrays as the first rows of one."""
    whole = np.zeros((rows, *np.shape(arrays[0])), np.asarray(arrays[0]).dtype)
    np.stack(arrays, out=whole[: len(arrays)])
    return whole


def _move_rows(states: Pytree, places: jax.Array, to: jax.Array) -> Pytree:
    """Return states with rows copied from their places to others, all at once."""
    return jax.tree.map(lambda leaf: leaf.at[to].set(leaf[places]), states)


def _gather(stacks: Sequence[Pytree], places: jax.Array) -> Pytree:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[places], *stacks)
