"""A task in JAX: it trains one member's turns, or makes the program for all members at once."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ramet.averaging import Average, check_average, no_average
from ramet.engine.run.scores import as_number, require_score
from ramet.engine.workers.session import Session
from ramet.jax.averaging_task import AveragingFunctions
from ramet.jax.functions import (
    Functions,
    Traced,
    blank,
    check_step,
    explain_untraceable,
    first_key,
    seed_of,
)
from ramet.jax.program import Program
from ramet.jax.trees import Kept, Pytree, put_back
from ramet.mapping.arrays import SpaceArrays
from ramet.mapping.chunks import Chunk
from ramet.mapping.refusals import check_task
from ramet.space import Space
from ramet.state.tree import Tree


class Task:
    """Trains JAX functions, one member at a time, or all at once with ``ramet.Vectorized()``.

    Args:
        functions: An object with ``init``, ``step`` and ``evaluate``.
        average: A running average of the weights to keep, such as
            ``ramet.PolynomialAverage(of="params")``. ``evaluate`` is then called with a state that
            has averaged weights, and ``step`` with ``steps=1``, so that each step is averaged.
    """

    def __init__(self, functions: Functions, *, average: Average | None = None) -> None:
        check_task(functions, Functions, "init, step and evaluate")
        self.functions = functions
        self._averaging: AveragingFunctions | None = None
        if average is not None:
            check_average(average)
            self.functions = self._averaging = AveragingFunctions(functions, average)

    def __call__(self, session: Session) -> None:
        """Train the turns of a session."""
        traced, begin, step, _ = self._compiled
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
                    raise explain_untraceable(traced, error, *args, steps=steps) from error
                turn.report(score)
            check_step(like, state.value)
            traced.read_from(turn)

    def evaluate(self, tree: Tree) -> float:
        """Return the score of a saved state, by the weights that scores are of.

        Args:
            tree: What ``result.best.load()`` returned, for instance.
        """
        state = put_back(blank(self.functions), tree)
        return as_number(require_score(self._compiled[-1](state)))

    def as_state(self, tree: Tree, *, averaged: bool | None = None) -> Pytree:
        """Return a saved state as a pytree.

        Args:
            tree: What ``result.best.load()`` returned, for instance.
            averaged: Whether it has averaged weights; None has those that scores are of.
        """
        state = put_back(blank(self.functions), tree)
        if self._averaging is None:
            if averaged:
                raise no_average("ramet.jax.Task(functions")
            return state
        scored = self._averaging.average.scored
        return self._averaging.unwrap(state, averaged=scored if averaged is None else averaged)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out compiled functions, which each process makes for itself."""
        return {name: value for name, value in vars(self).items() if name != "_compiled"}

    @functools.cached_property
    def _compiled(
        self,
    ) -> tuple[Traced, Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
        """The compiled functions, the same for all members in a process."""
        traced = Traced(self.functions)
        step = jax.jit(traced.stretch, static_argnames="steps")
        return traced, jax.jit(self.functions.init), step, jax.jit(self.functions.evaluate)

    def program(self, space: Space, *, chunk: Chunk = "auto", shard: bool = False) -> Program:
        """Return the program that trains several members at once.

        Args:
            space: The hyperparameters.
            chunk: The number of members to train at once; "auto" measures what is fastest.
            shard: Whether to spread the members over all devices.
        """
        return Program(self.functions, SpaceArrays(space), chunk=chunk, shard=shard)
