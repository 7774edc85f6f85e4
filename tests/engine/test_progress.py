"""What is shown while a run goes."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.engine.displays import Look, Notebook
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


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "ramet.progress"]


def test_what_is_shown_says_how_far_the_run_is(caplog: pytest.LogCaptureFixture) -> None:
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
    last = lines(caplog)[-1].message
    assert last.startswith("bowl  6 members  step 24/24 (100%)")
    assert f"best {result.best.score:.5g}  {result.population.copies} copies  took 0:00" in last


def train_turn(run: ramet.Run) -> None:
    turn = run.ask()
    assert turn is not None
    list(turn)
    run.tell(turn, 0.5, state={"w": 1.0})


def watch_ends(*ends_s: float) -> None:
    """Watch turns, of 12 in all, that end at these times."""
    now = [0.0]
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    with Progress("bowl", shown=True, seconds=lambda: now[0]) as progress:
        progress(run)
        for end_s in ends_s:
            train_turn(run)
            now[0] = end_s
            progress(run)


def test_the_time_left_is_unknown_until_more_turns_have_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch_ends(60.0)
    # It may have been the framework's import that took a minute.
    assert "step 0/8 (8%)  best 0.5  0 copies  time left unknown" in lines(caplog)[0].message


def test_the_time_left_does_not_count_what_comes_before_the_first_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Workers import a framework, or a program is compiled, once: not for each turn."""
    watch_ends(100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0)
    last = lines(caplog)[-1]
    # Of twelve turns five are left, of a second each.
    assert last.message.endswith("  stopped after 1:46")
    assert vars(last)["left_s"] == 5.0
    assert lines(caplog)[0].message.endswith("time left unknown")


def test_the_time_left_is_known_before_a_round_of_long_turns_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch_ends(3_600.0, 7_200.0, 10_800.0)
    assert [record.message.split("  ")[-1] for record in lines(caplog)] == [
        "time left unknown",
        "10:00:00 left",
        "9:00:00 left",
        "stopped after 3:00:00",
    ]


def test_a_run_that_goes_on_says_where(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"mode": "max", "seed": 0, "store": tmp_path / "runs.db"}
    engine = ramet.Inline(progress=True)
    ramet.run(Descent(), SPACE, pbt(), steps=8, engine=engine, **settings)
    assert not any("goes on" in record.message for record in lines(caplog))
    caplog.clear()
    ramet.run(Descent(), SPACE, pbt(), steps=24, existing="extend", engine=engine, **settings)
    assert lines(caplog)[0].message == "run  goes on at step 8/24"


def test_a_failing_member_is_shown(caplog: pytest.LogCaptureFixture) -> None:
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
    assert "4 failing" in lines(caplog)[-1].message


class Clock:
    """A clock that moves by some seconds at every look."""

    def __init__(self, by_s: float) -> None:
        self.now_s, self.by_s = 0.0, by_s

    def __call__(self) -> float:
        self.now_s += self.by_s
        return self.now_s


def watch_turns(turns: int, *, by_s: float, shown: bool | None = None, steps: int = 400) -> None:
    """Train some turns while each look at the clock moves it."""
    run = ramet.open(space=SPACE, strategy=pbt(), steps=steps, mode="max", seed=0)
    with Progress("bowl", shown=shown, seconds=Clock(by_s)) as progress:
        for _ in range(turns):
            train_turn(run)
            progress(run)


def test_off_a_terminal_there_is_a_line_at_most_every_half_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch_turns(20, by_s=10.0)
    said = lines(caplog)
    assert len(said) == 8
    first, last = said[0], said[-1]
    assert first.levelname == "INFO"
    assert first.message.startswith("bowl  6 members  step 0/400 (0%)  best 0.5  0 copies")
    assert vars(last)["best"] == 0.5
    assert vars(last)["left_s"] > 0
    # Nobody waits for a call that has ended.
    assert said[-2].message.endswith(" left")
    assert last.message.endswith("  stopped after 3:30")


def test_off_a_terminal_a_short_run_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    watch_turns(20, by_s=0.1)
    assert not lines(caplog)


def test_lines_are_not_written_where_the_user_silenced_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "ramet.progress"):
        watch_turns(20, by_s=10.0, shown=True)
    watch_turns(20, by_s=10.0, shown=False)
    assert not lines(caplog)


def read_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of progress on standard error."""
    return [line for line in capsys.readouterr().err.splitlines() if "  6 members  " in line]


@contextmanager
def without_handlers() -> Iterator[None]:
    """As in a program that has set up no logging, which a test always has."""
    handlers, logging.root.handlers = logging.root.handlers, []
    try:
        yield
    finally:
        logging.root.handlers = handlers


def test_lines_are_written_once_if_the_training_sets_up_logging(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=400, mode="max", seed=0)
    with without_handlers(), Progress("bowl", shown=True, seconds=Clock(60.0)) as progress:
        for number in range(4):
            train_turn(run)
            progress(run)
            if number == 1:
                logging.basicConfig(format="theirs %(message)s")
    said = read_lines(capsys)
    assert ["theirs bowl" in line for line in said] == [False, False, True, True, True]


def test_runs_at_the_same_time_leave_logging_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=400, mode="max", seed=0)
    first, second = (Progress(name, shown=True, seconds=Clock(60.0)) for name in ("a", "b"))
    with without_handlers():
        first.__enter__()
        second.__enter__()
        first(run)
        first.__exit__(None, None, None)
        second(run)
        second.__exit__(None, None, None)
    said = read_lines(capsys)
    assert [line.split("  ")[1] for line in said] == ["a", "a", "b", "b"]
    assert not logging.getLogger("ramet.progress").level
    assert not logging.getLogger("ramet.progress").handlers


def test_no_line_comes_twice_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with without_handlers():
        watch_turns(12, by_s=60.0, steps=8)
    said = read_lines(capsys)
    assert len(said) == 12
    assert "step 8/8 (100%)" in said[-1]


@pytest.mark.parametrize("name", ["", "ramet"])
def test_a_level_above_the_usual_one_silences_lines(
    name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with without_handlers():
        with caplog.at_level(logging.ERROR, name or None):
            watch_turns(3, by_s=60.0, shown=True)
        logging.disable(logging.INFO)
        try:
            watch_turns(3, by_s=60.0, shown=True)
        finally:
            logging.disable(logging.NOTSET)
    assert read_lines(capsys) == []


def test_lines_do_not_need_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # As under pythonw.
    monkeypatch.setattr(sys, "stderr", None)
    watch_turns(3, by_s=60.0)


REDIRECTED = """
import time, ramet
from tests.engine.loops import SPACE, Descent, pbt
from ramet.engine import displays

displays.FIRST_LINE_S = displays.LOOK_S = displays.Lines.every_s = 0.0

class Slow(Descent):
    def step(self, *args):
        print("stepping")
        time.sleep(0.05)
        return super().step(*args)

    def evaluate(self, state):
        if state["seen"] == 8:
            raise LookupError("no such data")
        return super().evaluate(state)

ramet.run(Slow(), SPACE, pbt(), steps=4000, seed=0, name="bowl", mode="max",
          engine=ramet.Inline(failures=ramet.Failures(tolerate=1.0)))
"""


def test_a_file_does_not_stay_empty_while_the_run_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with (
        log.open("wb") as out,
        subprocess.Popen([sys.executable, "-c", REDIRECTED], stdout=out, stderr=out) as process,
    ):
        until_s = time.monotonic() + 60.0
        wanted = ("  bowl  6 members  step", "stepping", "LookupError: no such data (")
        while not all(text in log.read_text() for text in wanted):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.05)
        process.kill()


def test_in_a_notebook_one_output_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, bundle: dict[str, str], *, raw: bool) -> None:
            shown.append(bundle)

    def display(bundle: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    notebook = Notebook()
    fields: dict[str, Any] = {}
    for done in (0.0, 0.5):
        notebook.show(Look("<b>bowl", f"{done:.0%}", done, 0, 0.0, fields))
    notebook.end(None)
    assert [bundle["text/plain"] for bundle in shown] == ["<b>bowl  0%", "<b>bowl  50%"]
    assert all("&lt;b&gt;bowl" in bundle["text/html"] for bundle in shown)


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
