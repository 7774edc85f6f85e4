"""A worker: call the user's training function, and give it turns until the run is over."""

import logging
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ramet import warned
from ramet.engine.run.run import Run
from ramet.engine.run.scores import require_score
from ramet.engine.run.turn import Turn
from ramet.engine.workers.renewing import Renews, cannot_renew
from ramet.engine.workers.session import Begins, Session, TrainFunction, Watch
from ramet.errors import (
    LeaseLost,
    RametError,
    StateError,
    UsageError,
)
from ramet.frames import place_of
from ramet.state.adapters import Held
from ramet.state.tree import Tree

logger = logging.getLogger("ramet")


@runtime_checkable
class Task(Protocol):
    """A training in three functions of a state, as in the PBT paper."""

    def init(self, rng: np.random.Generator, /) -> Tree:
        """Return the state that a member begins with.

        Args:
            rng: The member's generator for first weights.
        """
        ...

    def step(self, state: Tree, hparams: Any, steps: int, rng: np.random.Generator, /) -> Tree:
        """Return the state after more steps of training.

        Args:
            state: What ``init`` or the last ``step`` returned.
            hparams: The hyperparameters, by name: ``hparams.lr``.
            steps: The number of steps to train.
            rng: The turn's generator.
        """
        ...

    def evaluate(self, state: Tree, /) -> Any:
        """Return the score.

        Args:
            state: What the last ``step`` returned.
        """
        ...


def work(
    run: Run,
    train: TrainFunction | Task,
    watch: Watch,
    *,
    begins: Begins = lambda _: None,
) -> None:
    """Train turns until the run is over; on an error, give back the turn that is out."""
    function = as_function(train)
    warned.forget()
    try:
        turn = run.ask()
        while turn is not None:
            begins(turn)
            turn = _call(run, Session(run, turn, watch, begins), function, watch)
    except BaseException:
        run.release_all()
        raise


def _call(run: Run, session: Session, function: TrainFunction, watch: Watch) -> Turn | None:
    """Call a training function; return the turn to call it with next."""
    try:
        function(session)
        session.check_return()
    except Exception as error:  # noqa: BLE001 - what a loop raises is its member's failure
        return _after(error, run, session, watch)
    except SystemExit as leaves:
        # Our own, which end a worker process, are subclasses.
        if type(leaves) is SystemExit:
            _say_exit(leaves, run)
        raise
    return session.next


def _say_exit(leaves: SystemExit, run: Run) -> None:
    fields = {"run": run.name, "code": leaves.code, "where": place_of(leaves)}
    logger.warning(
        "a training loop must not end its process, but sys.exit(%(code)r) was called at %(where)s: "
        "run %(run)r is left as it is, and the same call resumes it; to stop a run, call "
        "turn.stop_run() and let the loop end its turn",
        fields,
        extra=fields,
    )


def _after(error: Exception, run: Run, session: Session, watch: Watch) -> Turn | None:
    """Record a failure of the user's code and return the next turn; raise anything else."""
    at_fault = session.training
    if isinstance(error, RametError) or at_fault is None:
        if isinstance(error, UsageError) and (where := place_of(error)):
            error.add_note(f"It was raised at {where}")
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
        f"what to train must be a function of a session, or an object with the methods init, step "
        f"and evaluate, but got {train!r}"
    )


def _loop(task: Task) -> TrainFunction:
    def train(session: Session) -> None:
        held = Held(_require_state("init", task.init(session.rng)) if session.fresh else None)
        for turn in session.turns(held):
            if turn.renewed:
                held.value = _renew(task, held.value, turn.rng)
            for steps in turn.stretches():
                after = task.step(held.value, turn.hparams, steps, turn.rng)
                held.value = _require_state("step", after)
                turn.report(require_score(task.evaluate(held.value)))

    return train


def _renew(task: Task, state: Tree, rng: np.random.Generator) -> Tree:
    if not isinstance(task, Renews):
        raise cannot_renew(task)
    return _require_state("renew", task.renew(state, _require_state("init", task.init(rng))))


def _require_state(function: str, state: Tree) -> Tree:
    if state is None:
        raise StateError(f"a task's {function} must return the state, but it returned None")
    return state
