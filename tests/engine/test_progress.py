"""What is shown while a run goes."""

import os
import pty
import subprocess
import sys

import pytest

import ramet
from tests.engine.loops import SPACE, Descent, pbt

SCRIPT = """
import ramet
from tests.engine.loops import SPACE, Descent, pbt

ramet.run(Descent(), SPACE, pbt(), steps=24, seed=0, name="bowl", mode="min")
"""


def test_nothing_is_shown_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    ramet.run(Descent(), SPACE, pbt(), steps=24, seed=0)
    assert capfd.readouterr() == ("", "")


def test_what_is_shown_says_how_far_the_run_is(capfd: pytest.CaptureFixture[str]) -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=24, seed=0, name="bowl", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("bowl  6 members  step 24/24 (100%)")
    assert f"best {result.best.score:.5g}  {result.population.copies} copies  took 0:00" in err


def test_on_a_terminal_progress_is_shown_with_scores_as_they_were_reported() -> None:
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
