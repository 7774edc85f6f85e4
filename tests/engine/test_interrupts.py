"""A run that is interrupted, or whose parent process is killed."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import ramet
from benchmarks.victims import children
from ramet.events import canonical
from tests import signals
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import (
    alive,
    findings_in,
    finished,
    ran,
    result_in,
    seats_in,
    started,
    wait_for,
)

pytestmark = pytest.mark.slow

SCRIPT = """\
import os, signal, sys, time
from pathlib import Path
import ramet
from ramet.engine.processes import child
from ramet.engine.processes import pool as processes
from tests.engine.loops import SPACE, Descent, pbt

store, workers, stubborn = Path(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3
processes.GRACE_S = 1000.0

class Slow(Descent):
    def step(self, *args):
        time.sleep(0.01)
        return super().step(*args)

def stuck(session):
    # What catches everything, and will not hear.
    child.GRACE_S = 0.1
    for turn in session.turns({"w": 0.0}):
        list(turn)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        store.with_name(f"stuck-{os.getpid()}").touch()
        while session.member == 0:
            time.sleep(1.0)
        turn.report(turn.hparams["lr"] + turn.hparams["decay"])

ramet.run(
    stuck if stubborn else Slow(), SPACE, pbt(population=5, synchronous=True), steps=80, mode="max",
    seed=0, store=store, workers=workers,
)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "runs.db"
    for path in tmp_path.glob("stuck-*"):
        assert not alive(int(path.name.removeprefix("stuck-")))


def goes_on_to_the_same_end(script: Path, store: Path) -> bool:
    ran(script, str(store), "2")
    whole = ramet.run(
        Descent(), SPACE, pbt(population=5, synchronous=True), steps=80, mode="max", seed=0
    )
    result = result_in(store)
    assert findings_in(store) == []
    return canonical(result.events) == canonical(whole.events)


def under_way(script: Path, store: Path, workers: str) -> subprocess.Popen[str]:
    """Start the script, and wait until some turns are over."""
    process = started(script, str(store), workers)
    wait_for(store.exists)
    # The run itself is there only after its file.
    wait_for(lambda: "run" in ramet.places.place(store).store.runs())
    wait_for(lambda: result_in(store).population.turns >= 7)
    return process


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupted_run_says_how_to_go_on_and_holds_no_member(
    workers: str, script: Path, store: Path
) -> None:
    process = under_way(script, store, workers)
    crew = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finished(process)
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt: run 'run' was stopped after" in err
    assert f"to go on, run the same again, with {store}" in err
    assert "another takes its place" not in err
    # The script, and two frames of the call in ramet.
    assert err.count("  File ") == 3
    assert len(crew) == int(workers)
    assert not any(alive(worker) for worker in crew)
    assert {seat.worker for seat in seats_in(store)} == {None}
    assert goes_on_to_the_same_end(script, store)


def test_a_second_interrupt_waits_for_nothing(script: Path, store: Path) -> None:
    process = started(script, str(store), "2", "stubborn")
    wait_for(lambda: len(list(store.parent.glob("stuck-*"))) == 2)
    crew = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    # What the first one brought about: no more work, and everybody is asked to leave.
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finished(process)
    assert code == -signal.SIGINT
    assert "to go on, run the same again, with" in err
    assert not any(alive(worker) for worker in crew)
    assert {seat.worker for seat in seats_in(store)} == {None}


@pytest.mark.parametrize("how", signals.named("SIGKILL", "SIGTERM"))
def test_workers_end_with_their_parent_and_the_run_goes_on(
    how: signal.Signals, script: Path, store: Path
) -> None:
    process = under_way(script, store, "2")
    crew = children(process.pid)
    process.send_signal(how)
    code, _, err = finished(process)
    assert code == -how
    wait_for(lambda: not any(alive(worker) for worker in crew))
    assert "Traceback" not in err
    assert {seat.worker for seat in seats_in(store)} == {None}
    assert goes_on_to_the_same_end(script, store)


def test_not_even_workers_that_will_not_hear_outlive_their_parent(
    script: Path, store: Path
) -> None:
    process = started(script, str(store), "2", "stubborn")
    wait_for(lambda: len(list(store.parent.glob("stuck-*"))) == 2)
    crew = children(process.pid)
    process.kill()
    wait_for(lambda: not any(alive(worker) for worker in crew))
    finished(process)
