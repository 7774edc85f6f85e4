"""A member's turns for the training loop of another library, which calls back at each step."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

import ramet.torch
from ramet.averaging import Average
from ramet.engine.run.turn import Turn
from ramet.engine.workers.session import Session
from ramet.errors import (
    MissingScore,
    ScoreError,
    StateError,
    TurnInterrupted,
    TurnMisused,
    UsageError,
)

# As ramet.torch.State takes it, or a function of the model that returns it.
Bind: TypeAlias = Mapping[str, Any] | Callable[[Any], Mapping[str, Any]]


class Stepping:
    """The turns of a session. The next begins when the last step of a turn is counted.

    Args:
        session: The session.
        state: What follows its members.
        average: The average of weights that the state keeps, if it keeps one.
    """

    def __init__(
        self, session: Session, state: ramet.torch.State, average: Average | None = None
    ) -> None:
        self._turns = session.turns(state)
        self._state = state
        # Whether scores are those of averaged weights.
        self.scores_average = average is not None and average.scored
        self._steps: Iterator[int] = iter(())
        self._turn: Turn | None = None
        # Whether nothing is left to train, so the loop must stop.
        self.over = False
        self._go_on()

    @property
    def turn(self) -> Turn:
        """The current turn; when all are over, the last."""
        if self._turn is None:
            raise TurnMisused(
                "the current turn exists once one has begun, but there was none to train"
            )
        return self._turn

    @property
    def score_due(self) -> bool:
        """Whether a score is due for the step that was just trained."""
        return not self.over and self.turn.evaluation_due

    def scoring(self) -> AbstractContextManager[None]:
        """Have the model hold the weights that a score must be of, and its own again at the end."""
        return self._state.averaged() if self.scores_average else nullcontext()

    def step(self, score: Any = None) -> None:
        """Count a trained step.

        Args:
            score: The score, if one is due.
        """
        if self.score_due:
            self.turn.report(_check_score(score))
        self._go_on()

    def step_without_score(self) -> None:
        """Count a trained step, and report that there is no score if one is due."""
        if self.score_due:
            self.turn.report(None)
        self._go_on()

    def refuse_an_early_end(self, remedy: str) -> None:
        """Raise if the loop ends although there are turns left to train."""
        if not self.over:
            turn = self.turn
            raise TurnInterrupted(
                f"a training loop must go on until its member has no more turns, but it ended at "
                f"step {turn.step} of turn {turn.number} of member {turn.member}, steps "
                f"{turn.start} to {turn.stop}; {remedy}"
            )

    def _go_on(self) -> None:
        """Begin the next step, or the next turn if this one is over."""
        while not self.over and next(self._steps, None) is None:
            turn = next(self._turns, None)
            self.over = turn is None
            if turn is not None:
                self._turn, self._steps = turn, iter(turn)


def bindings(
    member: Session,
    place: Callable[[str], Any],
    bind: Bind | None,
    model: object,
) -> Mapping[str, Any] | None:
    """Return where hyperparameters are set: as the user bound them, or else by default."""
    bound = bind(model) if callable(bind) else bind
    if bound is not None and not bound:
        return bound
    bound = bound or {}
    hparams = None if member.next is None else member.next.hparams
    # Those that are not there now as well: what sets them refuses to leave them to chance.
    names = [] if hparams is None else [*hparams.peek(), *hparams.absent]
    own = {name: place(name) for name in names if name not in bound}
    return {name: where for name, where in own.items() if where is not None} | dict(bound) or None


def metric_of(metrics: Mapping[str, Any], name: str, remedy: str) -> Any:
    """Return the metric that is the score; refuse a name that is not among the metrics."""
    if name not in metrics:
        raise MissingScore(
            f"the monitored metric must be among those of an evaluation, but {name!r} is not among "
            f"{sorted(metrics)}; {remedy}"
        )
    return metrics[name]


def _check_score(score: Any) -> Any:
    """Return the score; refuse None, which a function without a return gives."""
    if score is None:
        raise ScoreError(
            "the score must be a number wherever one is due, but it was None; return it from the "
            "function that monitor= names, and float('nan') if training has diverged; if an "
            "evaluation needs more steps, raise evaluate_every= or turn_steps="
        )
    return score


def check_alone(devices: int, remedy: str) -> None:
    """Refuse several devices, because each process would train a population of its own."""
    if devices > 1:
        raise UsageError(
            f"a member must be trained by one process on one device, but this Trainer uses "
            f"{devices}, and each process would train a population of its own, with gradients "
            f"of all; {remedy}, and let ramet.run train members side by side: "
            f"engine=ramet.Processes(2, gpus=1)"
        )


def check_scheduler(scheduler: object) -> None:
    """Refuse a schedule that depends on scores, because a score comes with the next turn."""
    by_scores = type(scheduler).__name__ == "GreedyLR" or isinstance(scheduler, ReduceLROnPlateau)
    if by_scores:
        raise StateError(
            f"a schedule must depend on steps, so that it follows its member, but "
            f"{type(scheduler).__name__} depends on evaluations; leave the rate to ramet, or "
            f"use another scheduler"
        )


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Turn dropout and gradients off; afterwards restore the mode of each module."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
