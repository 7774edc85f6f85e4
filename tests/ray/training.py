"""A run whose training stops in one turn, until the test has done what it does meanwhile."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

import ramet
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import wait_for

SETTINGS: dict[str, Any] = {
    "space": SPACE,
    "strategy": pbt(population=5, synchronous=True),
    "steps": 12,
    "mode": "max",
    "seed": 0,
}


class Halt:
    """Where training stops: each process that does leaves a file, and waits for another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def reached(self) -> list[tuple[str, int]]:
        """Return the node and the process of each worker that came here."""
        return [
            (node, int(pid))
            for node, _, pid in (path.name.partition(".") for path in self._folder.glob("*.*"))
        ]

    def wait(self) -> None:
        node = ray.get_runtime_context().get_node_id()
        (self._folder / f"{node}.{os.getpid()}").touch()
        wait_for((self._folder / "go").exists)

    def let_go(self) -> None:
        (self._folder / "go").touch()


def halting(halt: Halt) -> Callable[[ramet.Session], None]:
    """Return a loop as `Descent` has it, that waits in turn 1 of member 2."""

    def train(session: ramet.Session) -> None:
        task, state = Descent(), Descent().init(session.rng)
        for turn in session.turns(state):
            if (turn.member, turn.number) == (2, 1):
                halt.wait()
            state.update(task.step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(task.evaluate(state))

    return train


@contextlib.contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Do something beside the block; end the block if that fails."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - the test raises it
            raised.append(error)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if raised:
            raise AssertionError("what was done meanwhile failed") from raised[0]
        raise
    finally:
        thread.join()
    assert not raised, raised
