"""A session: one call of a training function, and the turns that it trains."""

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Never, TypeAlias

import numpy as np

from ramet.engine.run.checkpoints import UNREADABLE
from ramet.engine.run.run import Run
from ramet.engine.run.turn import Turn, raise_unknown
from ramet.errors import LeaseLost, StoreError, TurnInterrupted, UsageError
from ramet.faults import reach
from ramet.population import Checkpoint
from ramet.state.adapters import Bindable, State, adapt, check_applied

logger = logging.getLogger("ramet")

# Called after every turn; looks at the run's population when it has something to show.
Watch: TypeAlias = Callable[[Run], None]
# Called before the user's code is at work on a turn.
Begins: TypeAlias = Callable[[Turn], None]


class Session:
    """What a training function is called with: the member it begins for, and the turns to train.

    The function builds its model and loops over ``turns(state)``. The first turn is this member's.
    With more members than workers later ones may be others', so whatever should follow a member
    belongs into the state; ``turn.member`` says whose turn it is.
    """

    def __init__(self, run: Run, first: Turn, watch: Watch, begins: Begins) -> None:
        self._run = run
        self._watch, self._begins = watch, begins
        self._begun = False
        # The turn that the user's code is at; None while the worker's own is.
        self.training: Turn | None = first
        # The turn to train next; when the function has returned, the one to call it for.
        self.next: Turn | None = first
        self.member = first.member
        self.fresh = first.fresh
        self.space = run.population.space
        # What to make first weights with: the same for this member in whichever worker.
        self.rng: np.random.Generator = first.init_rng
        self.seed = int(first.init_rng.integers(2**32))

    if not TYPE_CHECKING:  # As of a turn.

        def __getattr__(self, name: str) -> Never:
            raise_unknown(self, name)

    def turns(self, state: State | dict[str, Any]) -> Iterator[Turn]:
        """Yield turns to train, with the state restored and hyperparameters applied."""
        if self._begun:
            raise UsageError(
                "a training function can loop over session.turns once, but began again"
            )
        self._begun = True
        held, adapted = None, adapt(state)
        bindable = adapted if isinstance(adapted, Bindable) else None
        while (turn := self.next) is not None:
            self.training = None
            stale = turn.checkpoint is not None and turn.checkpoint != held
            try:
                saved = turn.saved() if stale else None
            except UNREADABLE as error:
                recover(self._run, turn, error)
                if self._begins_anew():
                    return
                continue
            self.training = turn
            self._begins(turn)
            if stale:
                adapted.restore(saved)
            if bindable is not None:
                bindable.apply(turn.hparams.peek())
                check_applied(bindable, turn.hparams.peek(), "when read back")
            reach("loaded")
            yield turn
            held = self._leave(turn, adapted, bindable)
            if self._begins_anew():
                return

    def _begins_anew(self) -> bool:
        """Ask for the next turn; say whether its weights come from a fresh call of the function."""
        self.next = None
        self.next = self._run.ask()
        return self.next is not None and self.next.fresh

    def _leave(self, turn: Turn, state: State, bindable: Bindable | None) -> Checkpoint | None:
        """End a turn; return what the state was kept as, which is nothing if the turn was lost."""
        turn.points()  # Refuses a turn that is not over, before anything else is looked at.
        applied: frozenset[str] = frozenset()
        if bindable is not None:
            applied = check_applied(bindable, turn.hparams.peek(), "at the end of the turn")
        captured = state.capture()
        self.training = None
        try:
            kept = self._run.tell(turn, state=captured, applied=applied)
        except LeaseLost as lost:
            logger.warning("%s", lost, extra={"member": turn.member, "turn": turn.number})
            return None
        self._watch(self._run)
        return kept

    def returned(self) -> None:
        """Refuse a function that returned without having trained its turn."""
        if not self._begun:
            raise UsageError(
                "a training function must loop over session.turns(state), but it returned without"
            )
        if self.training is not None:
            raise TurnInterrupted(
                f"a training function must let its loop over session.turns end by itself, but it "
                f"returned during turn {self.training.number} of member {self.training.member}; to "
                f"stop the run, call turn.stop_run() and let the loop go on: it ends by itself"
            )


TrainFunction: TypeAlias = Callable[[Session], object]


def recover(run: Run, turn: Turn, error: StoreError) -> None:
    """Have a member go on whose checkpoint cannot be read."""
    try:
        run.recover(turn, error)
    except LeaseLost as lost:
        logger.warning("%s", lost, extra={"member": turn.member, "turn": turn.number})
