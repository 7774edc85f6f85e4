"""A session: one call of a training function, and the turns that it trains."""

import functools
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Never, ParamSpec, TypeAlias, TypeVar, cast

import numpy as np

from ramet.engine.run.run import Run
from ramet.engine.run.turn import Turn, raise_unknown
from ramet.errors import LeaseLost, StateError, StoreError, TurnInterrupted, UsageError
from ramet.faults import reach
from ramet.history.states import UNREADABLE
from ramet.population import Checkpoint
from ramet.state.adapters import Bindable, State, adapt
from ramet.state.checking import check_absent, check_applied
from ramet.state.remedies import remedy_for_parts

logger = logging.getLogger("ramet")

# Called with the run after every turn, also one that came to nothing, such as to show progress.
Watch: TypeAlias = Callable[[Run], None]
# Called before the user's code starts on a turn.
Begins: TypeAlias = Callable[[Turn], None]

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


def needs_one_state(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Say what to write where Python would only count the arguments.

    Args:
        method: A method with one argument, ``state``.
    """

    @functools.wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) + len(kwargs) != 1 or not kwargs.keys() <= {"state"}:
            found = [*map(_type_name, args)]
            found += [f"{name}={_type_name(part)}" for name, part in kwargs.items()]
            raise StateError(
                f"session.turns takes one state, with everything that training changes in it, but "
                f"got {', '.join(found) or 'nothing'}; "
                f"{remedy_for_parts([*args, *kwargs.values()])}, and then session.turns(state)"
            )
        return method(self, *args, **kwargs)

    return call


def _type_name(part: object) -> str:
    return type(part).__name__


def explain_uncalled(method: Callable[P, R]) -> Callable[P, R]:
    """Say what to write if a loop is over the method itself, because it was not called.

    Args:
        method: A method that returns what to loop over.
    """
    bound = property(lambda self: _Uncalled(method.__get__(self)), doc=method.__doc__)
    return cast(Callable[P, R], bound)


class _Uncalled:
    """A method of a session before it is called."""

    def __init__(self, method: Callable[..., object]) -> None:
        self._method = method
        functools.update_wrapper(self, method)

    def __call__(self, *args: Any, **kwargs: Any) -> object:
        return self._method(*args, **kwargs)

    def __iter__(self) -> Never:
        raise UsageError(
            "session.turns must be called with a state, but was looped over itself; write for turn "
            "in session.turns(state), where the state is everything that training changes, such as "
            "ramet.torch.State(model=model)"
        )


class Session:
    """The argument of a training function: the member that it begins with, and the turns to train.

    The function builds its model and loops over ``turns(state)``. The first turn is of
    ``session.member``. With more members than workers, later turns may be of other members
    (``turn.member``), so everything that belongs to a member must be in the state.
    """

    def __init__(self, run: Run, turn: Turn, watch: Watch, begins: Begins) -> None:
        self._run = run
        self._watch, self._begins = watch, begins
        self._begun = False
        # The turn that the user's code is training; None while our own code runs.
        self.training: Turn | None = turn
        # The turn to train next, in this call of the function or, once it has returned, in another.
        self.next: Turn | None = turn
        self.member = turn.member
        self.fresh = turn.fresh
        self.space = run.population.space
        # For first weights: the same for this member in every worker.
        self.rng: np.random.Generator = turn.init_rng
        self.seed = int(turn.init_rng.integers(2**32))

    if not TYPE_CHECKING:  # As of a turn.

        def __getattr__(self, name: str) -> Never:
            raise_unknown(self, name)

        def __iter__(self) -> Never:
            raise UsageError(
                "a session is no loop by itself: write for turn in session.turns(state), where the "
                "state is everything that training changes, such as ramet.torch.State(model)"
            )

    @explain_uncalled
    @needs_one_state
    def turns(self, state: State | dict[str, Any]) -> Iterator[Turn]:
        """Yield turns to train, with the state restored and hyperparameters applied.

        Args:
            state: Everything that a member's training changes: a state such as
                ``ramet.torch.State(model=model)``, or a dict of arrays and numbers.
        """
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
                saved = turn.read_checkpoint() if stale else None
            except UNREADABLE as error:
                recover(self._run, turn, error)
                self._watch(self._run)
                if self._begins_anew():
                    return
                continue
            self.training = turn
            self._begins(turn)
            if stale:
                adapted.restore(saved)
            if bindable is not None:
                check_absent(bindable, turn.hparams.absent)
                bindable.apply(turn.hparams.peek())
                check_applied(bindable, turn.hparams.peek(), "when read back")
            reach("loaded")
            yield turn
            held = self._leave(turn, adapted, bindable)
            if self._begins_anew():
                return

    def _begins_anew(self) -> bool:
        """Ask for the next turn; return whether it needs a fresh call of the training function."""
        self.next = None
        self.next = self._run.ask()
        return self.next is not None and self.next.fresh

    def _leave(self, turn: Turn, state: State, bindable: Bindable | None) -> Checkpoint | None:
        """End a turn; return its checkpoint, or None if the lease was lost."""
        turn.points()  # Refuses a turn that is not over, before any other check.
        applied: frozenset[str] = frozenset()
        if bindable is not None:
            applied = check_applied(bindable, turn.hparams.peek(), "at the end of the turn")
        captured = state.capture()
        self.training = None
        kept = None
        try:
            kept = self._run.tell(turn, state=captured, applied=applied)
        except LeaseLost as lost:
            logger.warning("%s", lost, extra={"member": turn.member, "turn": turn.number})
        self._watch(self._run)
        return kept

    def check_return(self) -> None:
        """Refuse a training function that returned without finishing its turn."""
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
    """Let a member go on after its checkpoint could not be read."""
    try:
        run.recover(turn, error)
    except LeaseLost as lost:
        logger.warning("%s", lost, extra={"member": turn.member, "turn": turn.number})
