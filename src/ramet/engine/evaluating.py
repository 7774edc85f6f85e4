"""What evaluates weights again: a function of a state and a generator, or a task."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from ramet.errors import UsageError
from ramet.state.tree import Tree

# Returns the score of a state, by draws from a generator.
Evaluate: TypeAlias = Callable[[Tree, np.random.Generator], Any]


class Evaluates(Protocol):
    """A task: what has a method that returns the score of a state."""

    def evaluate(self, state: Tree, /) -> Any:
        """Return the score.

        Args:
            state: The state, as ``result.best.load()`` returns it.
        """
        ...


def as_function(evaluate: object) -> tuple[Evaluate, str]:
    """Return what evaluates as a function of a state and a generator, and its name.

    Args:
        evaluate: A function of both, or a task.
    """
    if isinstance(evaluate, type):
        raise UsageError(
            f"what evaluates must be a function or a task, but got the class {evaluate.__name__}; "
            f"make one: {evaluate.__name__}()"
        )
    method = getattr(evaluate, "evaluate", None)
    if callable(method):
        return (lambda state, _: method(state)), f"{type(evaluate).__name__}.evaluate"
    if callable(evaluate) and _takes_two(evaluate):
        return cast(Evaluate, evaluate), getattr(evaluate, "__qualname__", repr(evaluate))
    raise UsageError(
        f"what evaluates must be a function of a state and a generator, evaluate(state, rng), or a "
        f"task with a method evaluate(state), but got {evaluate!r}"
    )


def _takes_two(function: Callable[..., object]) -> bool:
    """Say whether a function can be called with two arguments, as far as Python knows."""
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:
        pass  # It has no signature, as some functions in C.
    return True
