"""A task in JAX: three pure functions that one member is trained by, or many at once."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import jax
import numpy as np

from ramet.engine.run.scores import returned_score
from ramet.engine.run.turn import Turn
from ramet.engine.workers.session import Session
from ramet.errors import UsageError
from ramet.jax.trees import Kept, Pytree, differing, put_back
from ramet.mapping import Chunk, SpaceArrays, check_task, step_changed
from ramet.space import Space
from ramet.state.tree import Tree
from ramet.values import Values

if TYPE_CHECKING:
    from ramet.jax.program import Program


@runtime_checkable
class Functions(Protocol):
    """What a task is made of, all of it traceable."""

    def init(self, key: jax.Array, /) -> Pytree:
        """Return the state that a member begins with."""
        ...

    def step(self, state: Pytree, hparams: Any, steps: int, key: jax.Array, /) -> Pytree:
        """Return the state after so many steps; hyperparameters are traced numbers."""
        ...

    def evaluate(self, state: Pytree, /) -> Any:
        """Return the score."""
        ...


class Task:
    """Trains JAX functions: one member at a time, or all at once with ``ramet.Vectorized()``.

    Args:
        functions: An object with ``init``, ``step`` and ``evaluate``.
    """

    def __init__(self, functions: Functions) -> None:
        check_task(functions, Functions, "init, step and evaluate")
        self.functions = functions

    def __call__(self, session: Session) -> None:
        """Train one session, turn after turn."""
        traced, begin, step = self._compiled
        numbers, like = SpaceArrays(session.space), blank(self.functions)
        state = Kept(begin(first_key(seed_of(session.rng))) if session.fresh else like)
        for turn in session.turns(state):
            hparams, seed = numbers.of(turn.hparams.peek()), seed_of(turn.rng)
            for nth, steps in enumerate(turn.stretches()):
                args = state.value, hparams, seed, np.uint32(nth)
                try:
                    state.value, score = step(*args, steps=steps)
                except jax.errors.JaxRuntimeError:
                    raise
                except Exception as error:
                    raise explained(traced, error, *args, steps=steps) from error
                turn.report(score)
            check_step(like, state.value)
            traced.read_from(turn)

    def as_state(self, tree: Tree) -> Pytree:
        """Return a state as the functions make it, from what ``result.best.load()`` returned."""
        return put_back(blank(self.functions), tree)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what each process compiles for itself."""
        return {name: value for name, value in vars(self).items() if name != "_compiled"}

    @functools.cached_property
    def _compiled(self) -> tuple["Traced", Callable[..., Any], Callable[..., Any]]:
        """What each function is compiled to, once for all members of a process."""
        traced = Traced(self.functions)
        step = jax.jit(traced.stretch, static_argnames="steps")
        return traced, jax.jit(self.functions.init), step

    def program(self, space: Space, *, chunk: Chunk = "auto", shard: bool = False) -> "Program":
        """Return what trains many members at once, with values of a space."""
        from ramet.jax.program import Program  # noqa: PLC0415 - which needs this module

        return Program(self.functions, SpaceArrays(space), chunk=chunk, shard=shard)


class Traced:
    """The functions of a task as they are compiled, and what they read while they are traced."""

    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self._read: set[str] = set()

    def stretch(
        self, state: Pytree, hparams: dict[str, Any], seed: Any, nth: Any, *, steps: int
    ) -> tuple[Pytree, Any]:
        """Return one member's state after the steps up to its next score, and the score."""
        key = jax.random.fold_in(jax.random.key(seed), nth)
        state = self.functions.step(state, Values(hparams, read=self._read), steps, key)
        if state is None:
            raise UsageError("a task's step must return the state, but it returned None")
        return state, returned_score(self.functions.evaluate(state))

    def read_from(self, turn: Turn) -> None:
        """Have a turn know what the functions read, which they tell only while they are traced."""
        for name in self._read.intersection(turn.hparams.peek()):
            turn.hparams[name]


UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def explained(
    traced: Traced,
    error: Exception,
    state: Pytree,
    hparams: Mapping[str, Any],
    *rest: Any,
    steps: int,
) -> Exception:
    """Return what to say of functions that raised while they were traced, and which values did it.

    What would raise with plain numbers as well is the task's own affair.
    """

    def traces(*known: str) -> bool:
        """Say whether the functions can be traced if these are plain numbers."""
        fixed = {name: np.asarray(hparams[name])[()] for name in known}
        others = {name: value for name, value in hparams.items() if name not in known}

        def stretch(state: Pytree, others: dict[str, Any], *rest: Any) -> Any:
            # So that what is made of plain numbers alone is plain too.
            with jax.ensure_compile_time_eval():
                return traced.stretch(state, {**others, **fixed}, *rest, steps=steps)

        try:
            jax.eval_shape(stretch, state, others, *rest)
        except Exception:  # noqa: BLE001 - whatever it is, they cannot
            return False
        return True

    if traces(*hparams):
        blamed = [name for name in hparams if not traces(*(hparams.keys() - {name}))]
    elif isinstance(error, UNTRACEABLE):
        blamed = []
    else:
        return error
    what = f"hyperparameter {blamed} is" if blamed else "something else that is traced is"
    return UsageError(
        f"a task's functions must be traceable, with hyperparameters as traced numbers, so that "
        f"exploring compiles nothing, but {what} used as a value of Python's: in an `if`, a "
        f"`range`, an index or a shape; use jnp.where, lax.cond or lax.fori_loop there, or take it "
        f"out of the space: {str(error).splitlines()[0]}"
    )


def blank(functions: Functions) -> Pytree:
    """Return a state of the structure that the functions have, without computing it."""
    try:
        shapes = jax.eval_shape(functions.init, first_key(np.uint32(0)))
    except (TypeError, *UNTRACEABLE) as error:
        raise UsageError(
            f"a task's init must be traceable, and return a pytree of arrays and nothing else, but "
            f"it raised: {str(error).splitlines()[0]}; keep what is code, such as a function in an "
            f"Equinox model, out of it: eqx.filter(model, eqx.is_array) in init, and eqx.combine "
            f"in step"
        ) from error
    return jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), shapes)


def check_step(before: Pytree, after: Pytree) -> None:
    """Refuse a step that makes another kind of state of the one it was given."""
    if difference := differing(before, after):
        raise step_changed(difference)


def first_key(seed: Any) -> jax.Array:
    """Return the key that a state is made with."""
    return jax.random.key(seed)


def seed_of(rng: np.random.Generator) -> np.uint32:
    """Draw what a key of JAX's is made of."""
    return rng.integers(2**32, dtype=np.uint32)
