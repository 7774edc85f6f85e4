"""The functions that a task in JAX is made of, and errors for those that cannot be traced."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from ramet.engine.run.scores import require_score
from ramet.engine.run.turn import Turn
from ramet.errors import RametError, UsageError
from ramet.jax.trees import Pytree, differing
from ramet.mapping.refusals import step_changed
from ramet.space.values import Values


@runtime_checkable
class Functions(Protocol):
    """The functions of a task. JAX must be able to trace all of them."""

    def init(self, key: jax.Array, /) -> Pytree:
        """Return the first state of a member."""
        ...

    def step(self, state: Pytree, hparams: Any, steps: int, key: jax.Array, /) -> Pytree:
        """Return the state after ``steps`` more steps. Hyperparameters are traced numbers."""
        ...

    def evaluate(self, state: Pytree, /) -> Any:
        """Return the score."""
        ...


class Traced:
    """The functions of a task, and a record of the hyperparameters that they read."""

    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self._read: set[str] = set()

    def stretch(
        self, state: Pytree, hparams: dict[str, Any], seed: Any, nth: Any, *, steps: int
    ) -> tuple[Pytree, Any]:
        """Train one member up to its next score; return its state and the score."""
        key = jax.random.fold_in(jax.random.key(seed), nth)
        state = self.functions.step(state, Values(hparams, read=self._read), steps, key)
        if state is None:
            raise UsageError("a task's step must return the state, but it returned None")
        return state, require_score(self.functions.evaluate(state))

    def read_from(self, turn: Turn) -> None:
        """Mark the hyperparameters that the functions read as read in a turn."""
        # Of an array they read all values, which are hyperparameters of their own in a turn.
        turn.hparams.mark_read(self._read)


UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def explain_untraceable(
    traced: Traced,
    error: Exception,
    state: Pytree,
    hparams: Mapping[str, Any],
    *rest: Any,
    steps: int,
) -> Exception:
    """Return an error that names the hyperparameters that cannot be traced.

    If the functions raise with plain numbers too, return their own error.
    """

    def traces(*known: str) -> bool:
        """Say whether the functions can be traced if these hyperparameters are plain numbers."""
        fixed = {name: np.asarray(hparams[name])[()] for name in known}
        others = {name: value for name, value in hparams.items() if name not in known}

        def stretch(state: Pytree, others: dict[str, Any], *rest: Any) -> Any:
            # What is computed from plain numbers alone is to be plain too.
            with jax.ensure_compile_time_eval():
                return traced.stretch(state, {**others, **fixed}, *rest, steps=steps)

        try:
            jax.eval_shape(stretch, state, others, *rest)
        except Exception:  # noqa: BLE001 - any error means that they cannot
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
        f"exploring compiles nothing, but {what} used as a Python value: in an `if`, a "
        f"`range`, an index or a shape; use jnp.where, lax.cond or lax.fori_loop there, or take it "
        f"out of the space: {str(error).splitlines()[0]}"
    )


def blank(functions: Functions) -> Pytree:
    """Return a state with the structure of ``init``, without computing it."""
    try:
        shapes = jax.eval_shape(functions.init, first_key(np.uint32(0)))
    except RametError:
        raise
    except (TypeError, *UNTRACEABLE) as error:
        raise UsageError(
            f"a task's init must be traceable, and return a pytree of arrays and nothing else, but "
            f"it raised: {str(error).splitlines()[0]}; leave code, such as a function in an "
            f"Equinox model, out of it: eqx.filter(model, eqx.is_array) in init, and eqx.combine "
            f"in step"
        ) from error
    return jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), shapes)


def check_step(before: Pytree, after: Pytree) -> None:
    """Refuse a step that returns a state of another structure."""
    if difference := differing(before, after):
        raise step_changed(difference)


def first_key(seed: Any) -> jax.Array:
    """Return the key that ``init`` is called with."""
    return jax.random.key(seed)


def seed_of(rng: np.random.Generator) -> np.uint32:
    """Draw the seed of a JAX key."""
    return rng.integers(2**32, dtype=np.uint32)
