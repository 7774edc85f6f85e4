"""A member's turns for a loop that is somebody else's, and only tells of its steps."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

import ramet.torch
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
    """Turn after turn of a member, each begun where the last step of the one before is counted."""

    def __init__(self, session: Session, state: ramet.torch.State) -> None:
        self._turns = session.turns(state)
        self._steps: Iterator[int] = iter(())
        self._turn: Turn | None = None
        # Whether there is nothing left to train here, so that the loop is to stop.
        self.over = False
        self._go_on()

    @property
    def turn(self) -> Turn:
        """The turn whose steps are being trained; when all are over, the last."""
        if self._turn is None:
            raise TurnMisused("a turn can be had once one has begun, but none could")
        return self._turn

    @property
    def score_due(self) -> bool:
        """Whether the step that was just trained wants a score."""
        return not self.over and self.turn.evaluation_due

    def step(self, score: Any = None) -> None:
        """Count a step that was trained; with its score, if that is due."""
        if self.score_due:
            self.turn.report(_said(score))
        self._go_on()

    def step_without_score(self) -> None:
        """Count a step that was trained, and say that there is no score yet if one is due."""
        if self.score_due:
            self.turn.report(None)
        self._go_on()

    def refuse_an_early_end(self, remedy: str) -> None:
        """Raise if a loop ends that still has turns to train."""
        if not self.over:
            turn = self.turn
            raise TurnInterrupted(
                f"a training loop must go on until its member has no more turns, but it ended at "
                f"step {turn.step} of turn {turn.number} of member {turn.member}, steps "
                f"{turn.start} to {turn.stop}; {remedy}"
            )

    def _go_on(self) -> None:
        """Begin the next step, and the next turn if this one has no more."""
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
    """Return where hyperparameters go: where the user says, or else the framework's own place."""
    told = bind(model) if callable(bind) else bind
    if told is not None and not told:
        return told
    told = told or {}
    names = list(member.next.hparams.peek()) if member.next is not None else []
    own = {name: place(name) for name in names if name not in told}
    return {name: where for name, where in own.items() if where is not None} | dict(told) or None


def metric_of(metrics: Mapping[str, Any], name: str, remedy: str) -> Any:
    """Return the metric that is the score, or name those that there are."""
    if name not in metrics:
        raise MissingScore(
            f"the monitored metric must be among those of an evaluation, but {name!r} is not among "
            f"{sorted(metrics)}; {remedy}"
        )
    return metrics[name]


def _said(score: Any) -> Any:
    """Return the score, or refuse None: a return that was forgotten."""
    if score is None:
        raise ScoreError(
            "the score must be a number wherever one is due, but it was None; return it from the "
            "function that monitor= names, and float('nan') if training has diverged; if an "
            "evaluation needs more steps, raise evaluate_every= or turn_steps="
        )
    return score


def check_alone(devices: int, remedy: str) -> None:
    """Refuse to have a member trained by several processes, each of which would have its own."""
    if devices > 1:
        raise UsageError(
            f"a member must be trained by one process on one device, but this Trainer takes "
            f"{devices}, and processes would each train a population of their own, from gradients "
            f"of all; {remedy}, and let ramet.run train members side by side: "
            f"engine=ramet.Processes(2, gpus=1)"
        )


def check_scheduler(scheduler: object) -> None:
    """Refuse a schedule that goes by scores: when one is there, the next turn has begun."""
    by_scores = type(scheduler).__name__ == "GreedyLR" or isinstance(scheduler, ReduceLROnPlateau)
    if by_scores:
        raise StateError(
            f"a schedule must go by steps, so that it follows its member, but "
            f"{type(scheduler).__name__} goes by evaluations; leave the rate to ramet, or take "
            f"another scheduler"
        )


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Leave dropout and gradients out, and every module in its mode afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
