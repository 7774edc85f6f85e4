"""Members that dead processes of this machine held: taken over at once, and only theirs."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramet.events import canonical
from tests.engine.scripts import finished, ran, result_in, seats_in, started, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes"),
]

# Trains two turns of each member, and then none ends until there is a file named "go". No lease
# ever runs out while a test lasts.
SCRIPT = """\
import os, sys, threading
from pathlib import Path
import ramet
from tests.engine.loops import SPACE, Descent, pbt

def train(session):
    task, state = Descent(), Descent().init(session.rng)
    for turn in session.turns(state):
        if turn.number == 2 and not Path("go").exists():
            Path(f"holds-{os.getpid()}").touch()
            threading.Event().wait()
        state.update(task.step(state, turn.hparams, turn.steps, turn.rng))
        turn.report(task.evaluate(state))

workers, failures = int(sys.argv[2]), ramet.Failures(lease_ttl_s=3600.0)
engine = ramet.Processes(workers, failures=failures) if workers else ramet.Inline(failures=failures)
ramet.run(train, SPACE, pbt(population=5, synchronous=True), steps=16, mode="max", seed=0,
          store=sys.argv[1], engine=engine)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def holding(script: Path, request: pytest.FixtureRequest) -> Iterator[list[int]]:
    """Start a run whose workers have all come to a turn that does not end; yield all processes."""
    workers: int = request.param
    parent = started(script, "runs.db", str(workers))
    holders = wait_for(lambda: all_there(script.parent, max(1, workers)))
    yield sorted({parent.pid, *holders})
    kill({parent.pid, *holders})
    finished(parent)


def all_there(folder: Path, count: int) -> list[int]:
    found = [int(path.name.removeprefix("holds-")) for path in folder.glob("holds-*")]
    return found if len(found) == count else []


def kill(processes: set[int]) -> None:
    for pid in processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.parametrize("holding", [0, 2], indirect=True)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_that_was_killed_whole_goes_on_without_a_wait(
    holding: list[int], workers: str, script: Path
) -> None:
    kill(set(holding))
    (script.parent / "go").touch()
    ran(script, "runs.db", workers)
    ran(script, "whole.db", "0")
    killed, whole = (result_in(script.parent / name) for name in ("runs.db", "whole.db"))
    assert killed.population == whole.population
    assert canonical(killed.events) == canonical(whole.events)


@pytest.mark.parametrize("holding", [0], indirect=True)
def test_a_process_that_is_stopped_keeps_its_member_and_a_killed_one_does_not(
    holding: list[int], script: Path
) -> None:
    (holder,) = holding
    store = script.parent / "runs.db"
    os.kill(holder, signal.SIGSTOP)
    wait_for(lambda: stopped(holder))
    assert len([seat for seat in seats_in(store) if seat.worker]) == 1
    os.kill(holder, signal.SIGKILL)
    wait_for(lambda: not any(seat.worker for seat in seats_in(store)))


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("holding", [2], indirect=True)
def test_dead_workers_keep_their_members_while_the_parent_lives(
    holding: list[int], script: Path
) -> None:
    workers = {int(path.name.removeprefix("holds-")) for path in script.parent.glob("holds-*")}
    parent = next(pid for pid in holding if pid not in workers)
    store = script.parent / "runs.db"
    os.kill(parent, signal.SIGSTOP)
    kill(workers)
    assert len([seat for seat in seats_in(store) if seat.worker]) == 2
    os.kill(parent, signal.SIGKILL)
    wait_for(lambda: not any(seat.worker for seat in seats_in(store)))
