"""Programs as people start and edit them, and what of them runs in workers."""

import zipfile
from pathlib import Path

import pytest

from tests.engine.test_calls_in_workers import MODULE, python

pytestmark = pytest.mark.slow

# The score shows whether the worker has run the top level.
PROGRAM = (
    MODULE
    + """
import json
json.GAIN = 9.0
def patched(session):
    state = {"w": np.zeros(1)}
    for turn in session.turns(state):
        state["w"] += sum(1 for _ in turn)
        turn.report(getattr(json, "GAIN", -1.0))
"""
)
CALL = "print('best', go(patched).best.score)\n"
CANNOT = "cannot run this program again"


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", PROGRAM + CALL)


@pytest.mark.parametrize(
    "words",
    [
        ["program"],
        ["app.pyz"],
        ["-c", f"{PROGRAM}\nprint(sys.stdin is None)\n{CALL}"],
    ],
    ids=["without a suffix", "archive", "command"],
)
def test_a_program_runs_in_workers_however_it_is_kept(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "program").write_text(PROGRAM + CALL)
    zipped(tmp_path)
    code, out, err = python(tmp_path, *words)
    assert code == 0, err
    assert "best 9.0" in out
    assert CANNOT not in err


@pytest.mark.parametrize("words", [["-m", "cProfile", "train.py"], ["-"]], ids=["profiler", "pipe"])
def test_a_program_that_workers_cannot_run_is_named_once(words: list[str], tmp_path: Path) -> None:
    program = PROGRAM + "go(patched)\n" + CALL
    (tmp_path / "train.py").write_text(program)
    code, out, err = python(tmp_path, *words, given=program)
    assert code == 0, err
    assert "best -1.0" in out
    assert err.count(CANNOT) == 1
    assert " ".join(words) in err


def test_workers_run_the_script_as_it_was_when_it_was_started(tmp_path: Path) -> None:
    edit = f"""
from pathlib import Path
if __name__ == "__main__":
    Path(__file__).write_text("raise OSError")
    {CALL}
"""
    (tmp_path / "train.py").write_text(PROGRAM + edit)
    code, out, err = python(tmp_path, "train.py")
    assert code == 0, err
    assert "best 9.0" in out


def test_a_program_may_be_started_in_a_folder_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    (tmp_path / "train.py").write_text(PROGRAM + CALL)
    starter = f"import os, sys; os.rmdir({str(folder)!r}); "
    starter += f"os.execv(sys.executable, [sys.executable, {str(tmp_path / 'train.py')!r}])"
    code, out, err = python(folder, "-c", starter)
    assert code == 0, err
    assert "best 9.0" in out
    assert not folder.exists()
