"""Many members trained as one compiled program, their states stacked on the device."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramet.engine import Turn
from ramet.engine.vectorized import MEASURED, Chunks, quickest
from ramet.errors import UsageError
from ramet.jax.task import (
    UNTRACEABLE,
    Chunk,
    Functions,
    Traced,
    blank,
    first_key,
    seed_of,
    traceable,
    untraceable,
)
from ramet.jax.trees import Pytree, put_back, saved
from ramet.state.tree import Tree

AXIS = "members"
# What is cut up over the devices by member, and what each has whole.
OWN, EVERYWHERE = PartitionSpec(AXIS), PartitionSpec()  # type: ignore[no-untyped-call]  # of JAX


class Stacked(NamedTuple):
    """States of several members: each leaf has one more axis, the first."""

    states: Pytree
    members: int


class Program:
    """Trains stacks of states. A copy is a gather, and exploring compiles nothing."""

    def __init__(self, functions: Functions, *, chunk: Chunk = "auto", shard: bool = False) -> None:
        self._traced = Traced(functions)
        self._functions = functions
        self._chunks = Chunks(chunk)
        self._devices = jax.devices() if shard else jax.devices()[:1]
        self._mesh = Mesh(np.array(self._devices), (AXIS,))
        self._blank = blank(functions)
        self._begin = jax.jit(jax.vmap(lambda seed: functions.init(first_key(seed))))
        self._take = jax.jit(_taken)
        self._compiled: dict[int, Callable[..., Any]] = {}

    def begun(self, turns: Sequence[Turn]) -> Stacked:
        seeds = np.array([seed_of(turn.init_rng) for turn in turns])
        return Stacked(self._begin(seeds), len(turns))

    def restored(self, trees: Sequence[Tree]) -> Stacked:
        states = [put_back(self._blank, tree) for tree in trees]
        return Stacked(jax.tree.map(lambda *leaves: jnp.stack(leaves), *states), len(trees))

    def taken(self, stacks: Sequence[Stacked], places: Sequence[int]) -> Stacked:
        if len(stacks) == 1 and list(places) == list(range(stacks[0].members)):
            return stacks[0]
        states = self._take([stack.states for stack in stacks], np.array(places))
        return Stacked(states, len(places))

    def trained(
        self, states: Stacked, turns: Sequence[Turn], stretches: Sequence[int]
    ) -> tuple[Stacked, Sequence[Sequence[float]]]:
        values = [traceable(turn.hparams.peek()) for turn in turns]
        hparams = {name: np.stack([each[name] for each in values]) for name in values[0]}
        seeds = np.array([seed_of(turn.rng) for turn in turns])
        members = states.states, hparams, seeds
        chunk = self._chunk(members, stretches[0])
        now, scores = self._padded(members, len(turns), chunk), []
        for nth, steps in enumerate(stretches):
            state, score = self._stretch(chunk, now, nth, steps)
            now = state, *now[1:]
            scores.append(score)
        for turn in turns:
            self._traced.read_from(turn)
        rows = np.stack(jax.device_get(scores), axis=1)[: len(turns)].astype(float)
        after = now[0]
        if len(seeds) < len(now[2]):
            after = self._take([after], np.arange(len(turns)))
        return Stacked(after, len(turns)), rows.tolist()

    def captured(self, states: Stacked) -> list[Tree]:
        arrays = saved(states.states)
        return [
            {name: array[place] for name, array in arrays.items()}
            for place in range(states.members)
        ]

    def _chunk(self, members: "Members", steps: int) -> int:
        """Return how many members each device is to map at once."""
        count, few = len(members[2]), min(steps, MEASURED)

        def seconds(chunk: int) -> float | None:
            padded = self._padded(members, count, chunk)

            def train() -> None:
                self._call(chunk, padded, 0, few)[1].block_until_ready()

            try:
                return quickest(train)
            except jax.errors.JaxRuntimeError as error:
                if not _is_full(error):
                    raise
                return None

        chunk = self._chunks.of(-(-count // len(self._devices)), seconds)
        if chunk is None:
            raise UsageError(_too_large(members[0], count))
        return chunk

    def _stretch(
        self, chunk: int, members: "Members", nth: int, steps: int
    ) -> tuple[Pytree, jax.Array]:
        """Train all members up to their next score, or say how many fit."""
        try:
            return self._call(chunk, members, nth, steps)
        except jax.errors.JaxRuntimeError as error:
            if not _is_full(error):
                raise
            fits = self._that_fit(chunk, members, steps)
            raise UsageError(
                f"the members mapped at once must fit the device, but {chunk} do not, and "
                f"{fits or 'not even 1'} would; let chunk='auto' find what is fastest of what "
                f"fits, or lower it: {error}"
            ) from error

    def _call(
        self, chunk: int, members: "Members", nth: int, steps: int
    ) -> tuple[Pytree, jax.Array]:
        if chunk not in self._compiled:
            self._compiled[chunk] = self._compile(chunk)
        trained: tuple[Pytree, jax.Array]
        try:
            trained = self._compiled[chunk](*members, np.uint32(nth), steps=steps)
        except UNTRACEABLE as error:
            first = jax.tree.map(lambda leaf: leaf[0], members)
            raise untraceable(self._traced, error, *first, np.uint32(nth), steps=steps) from error
        return trained

    def _that_fit(self, chunk: int, members: "Members", steps: int) -> int:
        """Return how many fewer members fit the device at once; 0 if not even one does."""
        while chunk > 1:
            chunk = chunk // 2
            try:
                padded = self._padded(members, len(members[2]), chunk)
                self._call(chunk, padded, 0, steps)[1].block_until_ready()
            except jax.errors.JaxRuntimeError as error:
                if not _is_full(error):
                    raise
            else:
                return chunk
        return 0

    def _compile(self, chunk: int) -> Callable[..., Any]:
        def many(
            states: Pytree, hparams: Pytree, seeds: jax.Array, nth: jax.Array, *, steps: int
        ) -> tuple[Pytree, jax.Array]:
            def one(member: tuple[Pytree, Pytree, jax.Array]) -> tuple[Pytree, jax.Array]:
                return self._traced.stretch(*member, nth, steps=steps)

            mapped: tuple[Pytree, jax.Array]
            if len(seeds) == 1:
                # A loop around it would only slow it down.
                lone = jax.tree.map(lambda leaf: leaf[0], (states, hparams, seeds))
                mapped = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], one(lone))
            else:
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

    def _padded(self, members: "Members", count: int, chunk: int) -> "Members":
        """Return members in whole chunks on every device: what is missing is the first, again."""
        whole = chunk * len(self._devices)
        places = np.arange(-(-count // whole) * whole)
        places[places >= count] = 0
        states, hparams, seeds = members
        if len(places) > count:
            states = self._take([states], places)
            hparams, seeds = {name: each[places] for name, each in hparams.items()}, seeds[places]
        if len(self._devices) == 1:
            return states, hparams, seeds
        placed: Members = jax.device_put((states, hparams, seeds), NamedSharding(self._mesh, OWN))
        return placed


# States, hyperparameters by name, and what each one's keys are made of.
Members: TypeAlias = tuple[Pytree, dict[str, Any], Any]


def _taken(stacks: Sequence[Pytree], places: jax.Array) -> Pytree:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[places], *stacks)


def _is_full(error: jax.errors.JaxRuntimeError) -> bool:
    """Say whether it was for lack of memory that a program could not run."""
    return "RESOURCE_EXHAUSTED" in str(error)


def _too_large(states: Pytree, count: int) -> str:
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(states)) / count
    return (
        f"a population must fit its device, but not even one member at a time can be trained "
        f"beside the states of all {count}, {size:,.0f} bytes each; have fewer members, "
        f"shard=True over more devices, or train in worker processes"
    )
