"""A task in PyTorch: it trains one member's turns, or makes the program for all members at once."""

import numpy as np
import torch

from ramet.averaging import Average, check_average, no_average
from ramet.engine.run.scores import as_number, require_score
from ramet.engine.workers.session import Session
from ramet.errors import UsageError
from ramet.mapping.arrays import SpaceArrays
from ramet.mapping.chunks import Chunk
from ramet.mapping.refusals import check_task
from ramet.space import Space
from ramet.state.adapters import Held
from ramet.state.tree import Tree
from ramet.torch.averaging_task import AveragingFunctions
from ramet.torch.functions import (
    Functions,
    Tensors,
    Traced,
    arrays,
    begin,
    check_same,
    check_step,
    draw,
    row,
    tensors,
)
from ramet.torch.program import Program
from ramet.torch.ways import Compile


class Task:
    """Trains functions of tensors: one member at a time, or all with ``ramet.Vectorized()``.

    Args:
        functions: An object with ``init``, ``draw``, ``step`` and ``evaluate``.
        device: The device of all tensors; None for a GPU if there is one, or else the CPU.
        compile: Whether ``ramet.Vectorized()`` has torch.compile compile the steps; "auto" does so
            once a run has gone on for 10 s, if that is faster.
        average: A running average of the weights to keep, such as
            ``ramet.PolynomialAverage(of="params")``. ``evaluate`` is then called with a state that
            has averaged weights.
    """

    def __init__(
        self,
        functions: Functions,
        *,
        device: str | None = None,
        compile: Compile = "auto",  # noqa: A002 - as torch calls it
        average: Average | None = None,
    ) -> None:
        check_task(functions, Functions, "init, draw, step and evaluate")
        if compile not in (True, False, "auto"):
            raise UsageError(f"compile must be True, False or 'auto', but got {compile!r}")
        self.functions, self.compile = functions, compile
        self._averaging: AveragingFunctions | None = None
        if average is not None:
            check_average(average)
            self.functions = self._averaging = AveragingFunctions(functions, average)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def __call__(self, session: Session) -> None:
        """Train the turns of a session."""
        traced, numbers = Traced(self.functions), SpaceArrays(session.space)
        begun = begin(self.functions, session.rng)
        held = Held(begun if session.fresh else None)
        for turn in session.turns(held):
            check_same(begun, held.value)
            state = tensors(held.value, self.device)
            hparams = tensors(numbers.of(turn.hparams.peek()), self.device)
            for steps in turn.stretches():
                drawn = tensors(draw(self.functions, turn.rng, steps), self.device)
                with traced.in_one_piece(state, hparams, drawn):
                    state = traced.step(state, hparams, row(drawn, 0))
                for nth in range(1, steps):
                    state = traced.step(state, hparams, row(drawn, nth))
                turn.report(require_score(self.functions.evaluate(state)))
            held.value = arrays(state)
            check_step(begun, held.value)
            traced.read_from(turn)

    @torch.no_grad()
    def evaluate(self, tree: Tree) -> float:
        """Return the score of a saved state, by the weights that scores are of.

        Args:
            tree: What ``result.best.load()`` returned, for instance.
        """
        check_same(begin(self.functions, np.random.default_rng(0)), tree)
        return as_number(require_score(self.functions.evaluate(tensors(tree, self.device))))

    def as_state(self, tree: Tree, *, averaged: bool | None = None) -> Tensors:
        """Return a saved state as tensors.

        Args:
            tree: What ``result.best.load()`` returned, for instance.
            averaged: Whether it has averaged weights; None has those that scores are of.
        """
        check_same(begin(self.functions, np.random.default_rng(0)), tree)
        state = tensors(tree, self.device)
        if self._averaging is None:
            if averaged:
                raise no_average("ramet.torch.Task(functions")
            return state
        scored = self._averaging.average.scored
        return self._averaging.unwrap(state, averaged=scored if averaged is None else averaged)

    def program(self, space: Space, *, chunk: Chunk = "auto", shard: bool = False) -> Program:
        """Return the program that trains several members at once.

        Args:
            space: The hyperparameters.
            chunk: The number of members to train at once; "auto" measures what is fastest.
            shard: Must be False: PyTorch trains on one device.
        """
        if shard:
            raise UsageError(
                "members are spread over devices by JAX only, but Vectorized(shard=True) got a "
                "ramet.torch.Task; leave shard out, or train in worker processes, one on each "
                "device: engine=ramet.Processes(2, gpus=1)"
            )
        return Program(
            self.functions,
            SpaceArrays(space),
            chunk=chunk,
            device=self.device,
            compile=self.compile,
        )
