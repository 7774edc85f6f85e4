"""A worker: calls the user's training loop and feeds it turns until the run is over."""

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Never, Protocol, TypeAlias, runtime_checkable

import numpy as np

from ramet import warned
from ramet.engine.checkpoints import UNREADABLE
from ramet.engine.run import Run
from ramet.engine.scores import returned_score
from ramet.engine.turn import Turn, raise_unknown
from ramet.errors import (
    LeaseLost,
    RametError,
    StateError,
    StoreError,
    TurnInterrupted,
    UsageError,
)
from ramet.faults import reach
from ramet.frames import place_of
from ramet.population import Checkpoint
from ramet.state.adapters import Bindable, Held, State, adapt, check_applied
from ramet.state.tree import Tree

logger = logging.getLogger("ramet")

# Called after every turn; looks at the run's population when it has something to show.
Watch: TypeAlias = Callable[[Run], None]
# Called before the user's code is at work on a turn.
Begins: TypeAlias = Callable[[Turn], None]


class Trainee:
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
        self.id = first.member
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
            raise UsageError("a training function can loop over member.turns once, but began again")
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
                "a training function must loop over member.turns(state), but it returned without"
            )
        if self.training is not None:
            raise TurnInterrupted(
                f"a training function must let its loop over member.turns end by itself, but it "
                f"returned during turn {self.training.number} of member {self.training.member}; to "
                f"stop the run, call turn.stop_run() and let the loop go on: it ends by itself"
            )


TrainFunction: TypeAlias = Callable[[Trainee], object]


@runtime_checkable
class Task(Protocol):
    """Training in three functions of a state, as the PBT paper has it."""

    def init(self, rng: np.random.Generator, /) -> Tree:
        """Return the state that a member begins with."""
        ...

    def step(self, state: Tree, hparams: Any, steps: int, rng: np.random.Generator, /) -> Tree:
        """Return the state after some steps with these values, which are read by name."""
        ...

    def evaluate(self, state: Tree, /) -> Any:
        """Return the score."""
        ...


def recover(run: Run, turn: Turn, error: StoreError) -> None:
    """Have a member go on whose checkpoint cannot be read."""
    try:
        run.fail(turn, error)
    except LeaseLost as lost:
        logger.warning("%s", lost, extra={"member": turn.member, "turn": turn.number})


def work(
    run: Run,
    train: TrainFunction | Task,
    watch: Watch,
    *,
    begins: Begins = lambda _: None,
) -> None:
    """Train turn after turn until the run is over; give back what is out if that is early."""
    function = as_function(train)
    warned.forget()
    try:
        turn = run.ask()
        while turn is not None:
            begins(turn)
            turn = _trained(run, Trainee(run, turn, watch, begins), function, watch)
    except BaseException:
        run.release_all()
        raise


def _trained(run: Run, trainee: Trainee, function: TrainFunction, watch: Watch) -> Turn | None:
    """Call a training function; return the turn to call it for next."""
    try:
        function(trainee)
        trainee.returned()
    except Exception as error:  # noqa: BLE001 - what a loop raises is its member's failure
        return _after(error, run, trainee, watch)
    except SystemExit as leaves:
        # Ours, of a process that is to end, are of classes of their own.
        if type(leaves) is SystemExit:
            _say_exit(leaves, run)
        raise
    return trainee.next


def _say_exit(leaves: SystemExit, run: Run) -> None:
    fields = {"run": run.name, "code": leaves.code, "where": place_of(leaves)}
    logger.warning(
        "a training loop must not end its process, but sys.exit(%(code)r) was called at %(where)s: "
        "run %(run)r is left as it stands, and the same call goes on with it; to stop a run, call "
        "turn.stop_run() and let the loop end its turn",
        fields,
        extra=fields,
    )


def _after(error: Exception, run: Run, trainee: Trainee, watch: Watch) -> Turn | None:
    """Return the turn to go on with after the user's code raised; let anything else through."""
    at_fault = trainee.training
    if isinstance(error, RametError) or at_fault is None:
        raise error
    try:
        run.fail(at_fault, error)
    except LeaseLost as lost:
        logger.warning("%s", lost, extra={"member": at_fault.member, "turn": at_fault.number})
    watch(run)
    return run.ask()


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
        held = Held(_given("init", task.init(member.rng)) if member.fresh else None)
        for turn in member.turns(held):
            for steps in turn.stretches():
                after = task.step(held.value, turn.hparams, steps, turn.rng)
                held.value = _given("step", after)
                turn.report(returned_score(task.evaluate(held.value)))

    return train


def _given(function: str, state: Tree) -> Tree:
    if state is None:
        raise StateError(f"a task's {function} must return the state, but it returned None")
    return state
