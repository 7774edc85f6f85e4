"""What is shown while a run goes."""

import os
import subprocess
import sys
from typing import Any

import pytest

import ramet
from ramet.engine.progress import Progress
from tests.engine.loops import SPACE, Descent, pbt

SCRIPT = """
import ramet
from tests.engine.loops import SPACE, Descent, pbt

ramet.run(Descent(), SPACE, pbt(), steps=24, seed=0, name="bowl", mode="min")
"""


def test_nothing_is_shown_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0)
    assert capfd.readouterr() == ("", "")


def test_what_is_shown_says_how_far_the_run_is(capfd: pytest.CaptureFixture[str]) -> None:
    result = ramet.run(
        Descent(),
        SPACE,
        pbt(),
        steps=24,
        mode="max",
        seed=0,
        name="bowl",
        engine=ramet.Inline(progress=True),
    )
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("bowl  6 members  step 24/24 (100%)")
    assert f"best {result.best.score:.5g}  {result.population.copies} copies  took 0:00" in err


def test_the_time_left_is_known_after_the_first_turn(capfd: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    with Progress("bowl", shown=True, seconds=lambda: now[0]) as progress:
        progress(run)
        turn = run.ask()
        assert turn is not None
        list(turn)
        run.tell(turn, 0.5, state={"w": 1.0})
        now[0] = 60.0
        progress(run)
    # A twelfth took a minute.
    assert "step 0/8 (8%)  best 0.5  0 copies  11:00 left" in capfd.readouterr().err


def test_a_failing_member_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    class Fails(Descent):
        def evaluate(self, state: Any) -> float:
            if state["seen"] == 8:
                raise MemoryError
            return super().evaluate(state)

    strategy = ramet.RandomSearch(population=4, turn_steps=4)
    ramet.run(
        Fails(),
        SPACE,
        strategy,
        steps=8,
        mode="max",
        seed=0,
        engine=ramet.Inline(failures=ramet.Failures(tolerate=1.0), progress=True),
    )
    assert "4 failing" in capfd.readouterr().err


def test_on_a_terminal_progress_is_shown_with_scores_as_they_were_reported() -> None:
    pty = pytest.importorskip("pty", reason="needs the terminals of Unix")
    controller, terminal = pty.openpty()
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while chunk := _read(controller):
            shown += chunk
        assert process.wait() == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""
    os.close(controller)
    assert b"bowl" in shown
    assert b"step 24/24 (100%)  best -" in shown


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 4096)
    except OSError:  # The other end is closed.
        return b""
