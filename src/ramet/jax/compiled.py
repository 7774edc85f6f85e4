"""Programs that train stacked members, compiled once for each size and number of steps."""

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramet.jax.functions import Traced, check_step
from ramet.jax.trees import Pytree, is_key
from ramet.mapping.arrays import SpaceArrays

AXIS = "members"
# Divided among the devices by member, and copied to each device.
OWN, EVERYWHERE = PartitionSpec(AXIS), PartitionSpec()  # type: ignore[no-untyped-call]  # of JAX

# States, hyperparameters by name, and the seeds of keys, each with a row for each lane.
Members: TypeAlias = tuple[Pytree, Mapping[str, Any], Any]


class Shape(NamedTuple):
    """What a program is compiled for."""

    # How many members each device maps at once.
    chunk: int
    # The rows of the states.
    rows: int
    steps: int


class Compiled:
    """Trains stacked members. Their states are consumed: their memory becomes the new states'.

    Args:
        traced: The functions of the task.
        like: A state, with the structure of all.
        devices: The devices that the members are spread over.
    """

    def __init__(self, traced: Traced, like: Pytree, devices: Sequence[jax.Device]) -> None:
        self._traced, self._like, self._devices = traced, like, devices
        self._spread = NamedSharding(Mesh(np.array(devices), (AXIS,)), OWN)
        self._stretch = jax.jit(self._train_one, static_argnames="steps")
        self._alone = jax.jit(self._train_alone, static_argnames="steps", donate_argnums=0)
        self._programs: dict[Shape, Callable[..., Any]] = {}
        self._ahead: dict[Shape, Future[Callable[..., Any]]] = {}

    def train(
        self, shape: Shape, members: Members, nth: int, used: int
    ) -> tuple[Pytree, jax.Array | np.ndarray]:
        """Return the states and scores of the first ``used`` members after a stretch of training.

        Args:
            shape: The size of the program.
            members: The members. Their states are consumed.
            nth: Which stretch of its turn it is.
            used: How many rows are trained at least.
        """
        program = self._find(shape)
        if self._is_one_by_one(shape.chunk):
            return self._one_by_one(program, members, nth, used)
        each = shape.rows // len(self._devices)
        chunks = -(-min(used, each) // shape.chunk)
        if len(self._devices) > 1:
            members = jax.device_put(members, self._spread)
        trained: tuple[Pytree, jax.Array] = program(*members, np.uint32(nth), np.int32(chunks))
        return trained

    def compile_ahead(self, shape: Shape, numbers: SpaceArrays) -> None:
        """Begin to compile a program in another thread, unless it is there already.

        Functions are traced here, because settings of JAX may be those of a thread.

        Args:
            shape: The size of the program.
            numbers: The shape and dtype of each hyperparameter.
        """
        if shape in self._ahead or shape in self._programs:
            return
        sharding = self._spread if len(self._devices) > 1 else None

        def rows_of(shape_: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((shape.rows, *shape_), dtype, sharding=sharding)  # type: ignore[no-untyped-call]  # of JAX

        states = jax.tree.map(lambda leaf: rows_of(leaf.shape, leaf.dtype), self._like)
        hparams = {
            name: rows_of(numbers.shapes[name], kind) for name, kind in numbers.kinds.items()
        }
        members = states, hparams, rows_of((), np.uint32)
        rest = np.uint32(0), np.int32(0)
        if self._is_one_by_one(shape.chunk):
            lowered = self._alone.lower(*members, *rest, steps=shape.steps)
        else:
            lowered = self._make(shape).lower(*members, *rest)
        compiling = ThreadPoolExecutor(1, thread_name_prefix="ramet-compile")
        self._ahead[shape] = compiling.submit(lowered.compile)
        compiling.shutdown(wait=False)

    def _find(self, shape: Shape) -> Callable[..., Any]:
        ahead = self._ahead.get(shape)
        # If compiling failed, doing it again here raises what it raised.
        if ahead is not None and ahead.exception() is None:
            return ahead.result()
        if shape not in self._programs:
            alone = functools.partial(self._alone, steps=shape.steps)
            one_by_one = self._is_one_by_one(shape.chunk)
            self._programs[shape] = alone if one_by_one else self._make(shape)
        return self._programs[shape]

    def _is_one_by_one(self, chunk: int) -> bool:
        return chunk == 1 and len(self._devices) == 1

    def _one_by_one(
        self, program: Callable[..., Any], members: Members, nth: int, used: int
    ) -> tuple[Pytree, np.ndarray]:
        """Train one member after the other, which is faster than a loop inside a program."""
        states, hparams, seeds = members
        scores = []
        for place in range(used):
            states, score = program(states, hparams, seeds, np.uint32(nth), np.int32(place))
            scores.append(score)
        return states, np.array(jax.device_get(scores))

    def _train_alone(
        self, states: Pytree, hparams: Pytree, seeds: Any, nth: Any, place: Any, *, steps: int
    ) -> tuple[Pytree, Any]:
        state, values, seed = jax.tree.map(
            lambda leaf: lax.dynamic_index_in_dim(leaf, place, keepdims=False),
            (states, hparams, seeds),
        )
        state, score = self._stretch(state, values, seed, nth, steps=steps)
        return put(states, state, place), score

    def _make(self, shape: Shape) -> Any:
        """Return the program of a size, which is compiled when it is called."""
        many = functools.partial(self._train_many, shape)
        if len(self._devices) > 1:
            many = jax.shard_map(
                many,
                mesh=self._spread.mesh,
                in_specs=(OWN, OWN, OWN, EVERYWHERE, EVERYWHERE),
                out_specs=OWN,
                # The loop's scores are the same on all devices before it and not after it.
                check_vma=False,
            )
        return jax.jit(many, donate_argnums=0)

    def _train_many(self, shape: Shape, *given: Any) -> tuple[Pytree, Any]:
        """Train the first chunks of members; how many those are compiles nothing anew."""
        *members, nth, chunks = given
        states, hparams, seeds = members

        def one(*member: Any) -> tuple[Pytree, Any]:
            trained: tuple[Pytree, Any] = self._stretch(*member, nth, steps=shape.steps)
            return trained

        if len(seeds) == shape.chunk:
            return jax.vmap(one)(*members)

        def train_chunk(place: Any, done: tuple[Pytree, Any]) -> tuple[Pytree, Any]:
            first, size = place * shape.chunk, shape.chunk
            some = jax.tree.map(
                lambda leaf: lax.dynamic_slice_in_dim(leaf, first, size), (done[0], hparams, seeds)
            )
            whole: tuple[Pytree, Any] = jax.tree.map(
                lambda leaf, own: lax.dynamic_update_slice_in_dim(leaf, own, first, 0),
                done,
                jax.vmap(one)(*some),
            )
            return whole

        _, score = jax.eval_shape(one, *jax.tree.map(lambda leaf: leaf[0], members))
        scores = jnp.zeros(len(seeds), score.dtype)
        trained: tuple[Pytree, Any] = lax.fori_loop(0, chunks, train_chunk, (states, scores))
        return trained

    def _train_one(
        self, state: Pytree, hparams: Any, seed: Any, nth: Any, *, steps: int
    ) -> tuple[Pytree, Any]:
        state, score = self._traced.stretch(state, hparams, seed, nth, steps=steps)
        state = fix_types(state)
        check_step(self._like, state)
        return state, score


def put(states: Pytree, state: Pytree, place: Any) -> Pytree:
    """Return stacked states with one of them replaced."""
    return jax.tree.map(
        lambda whole, own: lax.dynamic_update_index_in_dim(whole, own, place, 0), states, state
    )


def fix_types(state: Pytree) -> Pytree:
    """Return a state of arrays without weak types, which would compile it once more."""
    return jax.tree.map(
        lambda leaf: (
            leaf if is_key(leaf) else lax.convert_element_type(leaf, jnp.asarray(leaf).dtype)
        ),
        state,
    )
