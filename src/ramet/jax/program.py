"""A compiled program that trains several members at once, their states stacked on the device."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from ramet.engine.run.turn import Turn
from ramet.engine.workers.lanes import Lanes
from ramet.first_draws import first_words
from ramet.jax.functions import (
    Functions,
    Traced,
    blank,
    check_step,
    explain_untraceable,
    first_key,
    seed_of,
)
from ramet.jax.trees import Pytree, check_same, fill, to_tree
from ramet.mapping import TRIAL_STEPS, Chunk, Chunks, SpaceArrays
from ramet.state.stacks import Stack
from ramet.state.tree import Tree

AXIS = "members"
# Divided among the devices by member, and copied to each device.
OWN, EVERYWHERE = PartitionSpec(AXIS), PartitionSpec()  # type: ignore[no-untyped-call]  # of JAX


class Stacked(NamedTuple):
    """States of several members: the first axis of each leaf is that of the members."""

    states: Pytree
    members: int


class Program:
    """Trains stacked states. Copying members is a gather, and exploring compiles nothing."""

    def __init__(
        self, functions: Functions, numbers: SpaceArrays, *, chunk: Chunk, shard: bool
    ) -> None:
        self._traced = Traced(functions)
        self._numbers = numbers
        self.chunks = Chunks(chunk, self.is_full)
        self._devices = jax.devices() if shard else jax.devices()[:1]
        self._mesh = Mesh(np.array(self._devices), (AXIS,))
        self._blank = blank(functions)
        self.size = sum(leaf.nbytes for leaf in jax.tree.leaves(self._blank))
        self._begin = jax.jit(lambda seed: functions.init(first_key(seed)))
        self._take, self._stack = jax.jit(_gather_leaves), jax.jit(_stack_leaves)
        self._alone = jax.jit(self._train_alone, static_argnames="steps")
        self._compiled: dict[int, Callable[..., Any]] = {}

    def init(self, turns: Sequence[Turn]) -> Stacked:
        # One by one, so that first weights do not depend on how many members start.
        each = [self._begin(np.array(seed_of(turn.init_rng))) for turn in turns]
        return Stacked(self._stack(*each), len(turns))

    def restore(self, trees: Sequence[Tree]) -> Stacked:
        for tree in trees:
            check_same(self._blank, tree)
        together = {name: np.stack([tree[name] for tree in trees]) for name in trees[0]}
        return Stacked(fill(self._blank, together), len(trees))

    def gather(self, stacks: Sequence[Stacked], places: Sequence[int]) -> Stacked:
        if len(stacks) == 1 and list(places) == list(range(stacks[0].members)):
            return stacks[0]
        states = self._take([stack.states for stack in stacks], np.array(places))
        return Stacked(states, len(places))

    def train(
        self, states: Stacked, turns: Sequence[Turn], stretches: Sequence[int], lanes: Lanes
    ) -> tuple[Stacked, Sequence[Sequence[float]]]:
        values = [self._numbers.of(turn.hparams.peek()) for turn in turns]
        hparams = {name: np.stack([each[name] for each in values]) for name in values[0]}
        seeds = first_words([turn.draws for turn in turns])
        members = states.states, hparams, seeds
        if not lanes.plain:
            members = self._select(members, np.array(lanes.filled))
        chunk = self._chunk(members, stretches[0])
        now, scores = self._pad(members, len(lanes.filled), chunk), []
        for nth, steps in enumerate(stretches):
            state, score = self.stretch(chunk, now, nth, steps)
            now = state, *now[1:]
            scores.append(score)
        for turn in turns:
            self._traced.read_from(turn)
        check_step(self._blank, jax.tree.map(_one_of, now[0]))
        own = np.array(lanes.of)
        rows = np.stack(jax.device_get(scores), axis=1)[own].astype(float)
        after = now[0]
        if len(turns) < len(now[2]):
            after = self._take([after], own)
        return Stacked(after, len(turns)), rows.tolist()

    def capture(self, states: Stacked) -> Stack:
        return Stack(to_tree(states.states), rows=states.members)

    def is_full(self, error: Exception) -> bool:
        return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)

    def stretch(
        self, chunk: int, members: "Members", nth: int, steps: int
    ) -> tuple[Pytree, jax.Array]:
        """Train all members up to their next score, ``chunk`` of them at once."""
        try:
            return self._call(chunk, members, nth, steps)
        except jax.errors.JaxRuntimeError as error:
            trial = functools.partial(self._trial, members, steps)
            raise self.chunks.explain(error, chunk, trial) from error

    def _chunk(self, members: "Members", steps: int) -> int:
        """Return how many members each device maps at once."""
        each = -(-len(members[2]) // len(self._devices))
        trial = functools.partial(self._trial, members, min(steps, TRIAL_STEPS))
        return self.chunks.of(each, trial)

    def _trial(self, members: "Members", steps: int, chunk: int) -> Callable[[], object]:
        """Return a function that trains ``chunk`` members a little and drops the result."""
        count = min(len(members[2]), chunk * len(self._devices))
        some = self._pad(_first(members, count), count, chunk)
        # The new states of all members must fit into memory as well.
        room = jax.tree.map(jnp.copy, members[0])

        def train() -> object:
            _, scores = self._call(chunk, some, 0, steps)
            return scores.block_until_ready(), room

        return train

    def _call(
        self, chunk: int, members: "Members", nth: int, steps: int
    ) -> tuple[Pytree, jax.Array]:
        trained: tuple[Pytree, jax.Array]
        try:
            if chunk == 1 and len(self._devices) == 1:
                trained = self._one_by_one(members, nth, steps)
            else:
                if chunk not in self._compiled:
                    self._compiled[chunk] = self._compile(chunk)
                trained = self._compiled[chunk](*members, np.uint32(nth), steps=steps)
        except jax.errors.JaxRuntimeError:
            raise
        except Exception as error:
            first = jax.tree.map(lambda leaf: leaf[0], members)
            raise explain_untraceable(
                self._traced, error, *first, np.uint32(nth), steps=steps
            ) from error
        return trained

    def _one_by_one(self, members: "Members", nth: int, steps: int) -> tuple[Pytree, jax.Array]:
        """Train one member after the other, which is faster than a loop inside a program."""
        each = [
            self._alone(*members, np.uint32(place), np.uint32(nth), steps=steps)
            for place in range(len(members[2]))
        ]
        stacked: tuple[Pytree, jax.Array] = self._stack(*each)
        return stacked

    def _train_alone(
        self,
        states: Pytree,
        hparams: Pytree,
        seeds: jax.Array,
        place: Any,
        nth: Any,
        *,
        steps: int,
    ) -> tuple[Pytree, Any]:
        members = states, hparams, seeds
        state, values, seed = jax.tree.map(lambda leaf: leaf[place], members)
        return self._traced.stretch(state, values, seed, nth, steps=steps)

    def _compile(self, chunk: int) -> Callable[..., Any]:
        def many(
            states: Pytree, hparams: Pytree, seeds: jax.Array, nth: jax.Array, *, steps: int
        ) -> tuple[Pytree, jax.Array]:
            def one(member: tuple[Pytree, Pytree, jax.Array]) -> tuple[Pytree, jax.Array]:
                return self._traced.stretch(*member, nth, steps=steps)

            mapped: tuple[Pytree, jax.Array]
            mapped = jax.lax.map(one, (states, hparams, seeds), batch_size=chunk)
            return mapped

        def spread(*members: Any, steps: int) -> tuple[Pytree, jax.Array]:
            mapped: Callable[..., tuple[Pytree, jax.Array]] = jax.shard_map(
                functools.partial(many, steps=steps),
                mesh=self._mesh,
                in_specs=(OWN, OWN, OWN, EVERYWHERE),
                out_specs=OWN,
            )
            return mapped(*members)

        return jax.jit(many if len(self._devices) == 1 else spread, static_argnames="steps")

    def _pad(self, members: "Members", count: int, chunk: int) -> "Members":
        """Return members in full chunks on every device, filled up with copies of the first."""
        whole = chunk * len(self._devices)
        places = np.arange(-(-count // whole) * whole)
        places[places >= count] = 0
        if len(places) > count:
            members = self._select(members, places)
        if len(self._devices) == 1:
            return members
        spread: Members = jax.device_put(members, NamedSharding(self._mesh, OWN))
        return spread

    def _select(self, members: "Members", places: NDArray[np.int_]) -> "Members":
        """Return the members at these places."""
        states, hparams, seeds = members
        own = {name: each[places] for name, each in hparams.items()}
        return self._take([states], places), own, seeds[places]


# States, hyperparameters by name, and the seeds of keys.
Members: TypeAlias = tuple[Pytree, dict[str, Any], Any]


def _first(members: Members, count: int) -> Members:
    first: Members = jax.tree.map(lambda leaf: leaf[:count], members)
    return first


def _one_of(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Return the shape and dtype of one member's part of a leaf."""
    return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)  # type: ignore[no-untyped-call]  # of JAX


def _stack_leaves(*each: Pytree) -> Pytree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def _gather_leaves(stacks: Sequence[Pytree], places: jax.Array) -> Pytree:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[places], *stacks)
