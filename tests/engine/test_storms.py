"""Worker processes that are stopped past their leases and go on, again and again."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ramet
from ramet.events import canonical
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import (
    ended,
    findings_in,
    finished,
    result_in,
    seats_in,
    started,
    wait_for,
)

pytestmark = pytest.mark.slow

STOPS, STEPS = 24, 400
STRATEGY = pbt(population=5, synchronous=True)

SCRIPT = f"""\
import os, time
from pathlib import Path
import ramet
from tests.engine.loops import SPACE, Descent
from tests.engine.test_storms import STRATEGY

class Slow(Descent):
    def step(self, *args):
        Path(f"begun-{{os.getpid()}}").touch()
        time.sleep(0.01)
        return super().step(*args)

ramet.run(Slow(), SPACE, STRATEGY, steps={STEPS}, mode="max", seed=0, store="runs.db",
          engine=ramet.Inline(failures=ramet.Failures(lease_ttl_s=0.3)))
"""


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    processes = [started(script) for _ in range(3)]
    try:
        wait_for(lambda: len(list(tmp_path.glob("begun-*"))) == 3)
        yield processes
    finally:
        for process in processes:
            with process:
                process.kill()


def held_by(process: subprocess.Popen[str]) -> list[int]:
    """Return the members that a process holds under a lease that has not run out."""
    store = Path(process.args[1]).with_name("runs.db")
    return [
        seat.standing.member
        for seat in seats_in(store)
        if seat.worker is not None and f"-{process.pid}-" in seat.worker
    ]


def stop_past_its_lease(process: subprocess.Popen[str]) -> bool:
    """Stop a process until all that it holds has run out; say whether it held anything."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        held = held_by(process)
        wait_for(lambda: not held_by(process))
    finally:
        os.kill(process.pid, signal.SIGCONT)
    return bool(held)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_storm_of_stops_past_the_lease_changes_nothing(
    workers: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    chance, stops = random.Random(0), 0  # noqa: S311 - nothing secret
    while stops < STOPS and all(process.poll() is None for process in workers):
        stops += stop_past_its_lease(chance.choice(workers))
    outcomes = [finished(process) for process in workers]
    assert [code for code, _, _ in outcomes] == [0, 0, 0], outcomes
    assert stops == STOPS, "the run was over before the storm was"
    # Some came back to a member that was another's by then.
    assert any("no longer holds member" in err for _, _, err in outcomes)
    alone = ramet.run(Descent(), SPACE, STRATEGY, steps=STEPS, mode="max", seed=0)
    result = result_in(tmp_path / "runs.db")
    assert canonical(result.events) == canonical(alone.events)
    assert result.population == alone.population
    assert ended(result) == ended(alone)
    assert findings_in(tmp_path / "runs.db") == []
