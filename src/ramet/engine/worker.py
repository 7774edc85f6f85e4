"""A worker: calls the user's training loop and feeds it turns until the run is over."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from ramet.engine.hparams import TurnHparams
from ramet.engine.run import Run
from ramet.engine.turn import Turn
from ramet.errors import RametError, TurnInterrupted, UsageError
from ramet.population import Checkpoint, Population
from ramet.state.adapters import Bindable, Held, State, adapt, check_applied
from ramet.state.tree import Tree

Watch: TypeAlias = Callable[[Population], None]


class Trainee:
    """What a training function is called with: the member it begins for, and the turns to train.

    The function builds its model and loops over ``turns(state)``. The first turn is this member's.
    With more members than workers later ones may be others', so whatever should follow a member
    belongs into the state; ``turn.member`` says whose turn it is.
    """

    def __init__(self, run: Run, first: Turn, watch: Watch) -> None:
        self._run = run
        self._watch = watch
        # The turn under way or, when the function has returned, the one to call it for next.
        self.turn: Turn | None = first
        self._begun = False
        self.id = first.member
        self.fresh = first.fresh
        # What to make first weights with: the same for this member in whichever worker.
        self.rng: np.random.Generator = first.init_rng
        self.seed = int(first.init_rng.integers(2**32))

    def turns(self, state: State | dict[str, Any]) -> Iterator[Turn]:
        """Yield turns to train, with the state restored and hyperparameters applied."""
        if self._begun:
            raise UsageError("a training function can loop over member.turns once, but began again")
        self._begun = True
        held, adapted = None, adapt(state)
        bindable = adapted if isinstance(adapted, Bindable) else None
        while self.turn is not None:
            turn = self.turn
            if turn.checkpoint is not None and turn.checkpoint != held:
                adapted.restore(turn.saved())
            if bindable is not None:
                bindable.apply(turn.hparams.peek())
                check_applied(bindable, turn.hparams.peek(), "when read back")
            yield turn
            held = self._leave(turn, adapted, bindable)
            self.turn = self._run.ask()
            if self.turn is not None and self.turn.fresh:
                # A fresh member's weights come from a fresh call of the function.
                return

    def _leave(self, turn: Turn, state: State, bindable: Bindable | None) -> Checkpoint:
        turn.points()  # Refuses a turn that is not over, before anything else is looked at.
        applied: frozenset[str] = frozenset()
        if bindable is not None:
            applied = check_applied(bindable, turn.hparams.peek(), "at the end of the turn")
        kept = self._run.tell(turn, state=state.capture(), applied=applied)
        self._watch(self._run.population)
        return kept

    def returned(self, first: Turn) -> None:
        """Refuse a function that returned without having trained its turn."""
        if not self._begun:
            raise UsageError(
                "a training function must loop over member.turns(state), but it returned without"
            )
        if self.turn is first or (self.turn is not None and not self.turn.fresh):
            raise TurnInterrupted(
                f"a training function must let its loop over member.turns end by itself, but it "
                f"returned during turn {self.turn.number} of member {self.turn.member}; to stop "
                f"early, lower steps="
            )


TrainFunction: TypeAlias = Callable[[Trainee], object]


@runtime_checkable
class Task(Protocol):
    """Training in three functions of a state, as the PBT paper has it."""

    def init(self, rng: np.random.Generator) -> Tree:
        """Return the state that a member begins with."""
        ...

    def step(self, state: Tree, hparams: TurnHparams, steps: int, rng: np.random.Generator) -> Tree:
        """Return the state after some steps of training."""
        ...

    def evaluate(self, state: Tree) -> Any:
        """Return the score."""
        ...


def work(run: Run, train: TrainFunction | Task, watch: Watch) -> None:
    """Train turn after turn until the run is over."""
    function = as_function(train)
    turn = run.ask()
    while turn is not None:
        trainee = Trainee(run, turn, watch)
        try:
            function(trainee)
            trainee.returned(turn)
            turn = trainee.turn
        except RametError:
            _give_back(run, trainee.turn)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a loop raises is that member's failure
            if trainee.turn is not None:
                run.fail(trainee.turn, error)
            watch(run.population)
            turn = run.ask()
        except BaseException:
            _give_back(run, trainee.turn)
            raise


def as_function(train: object) -> TrainFunction:
    """Return the training loop of a task, or a training function as it is."""
    if isinstance(train, type):
        raise UsageError(
            f"what to train must be a function or a task, but got the class {train.__name__}; "
            f"make one: {train.__name__}()"
        )
    if isinstance(train, Task):
        return _loop(train)
    if callable(train):
        return train
    raise UsageError(
        f"what to train must be a function of a member, or an object with the methods init, step "
        f"and evaluate, but got {train!r}"
    )


def _loop(task: Task) -> TrainFunction:
    def train(member: Trainee) -> None:
        held = Held(task.init(member.rng) if member.fresh else None)
        for turn in member.turns(held):
            for steps in turn.stretches():
                held.value = task.step(held.value, turn.hparams, steps, turn.rng)
                turn.report(task.evaluate(held.value))

    return train


def _give_back(run: Run, turn: Turn | None) -> None:
    if turn is not None and run.holds(turn):
        run.release(turn)
