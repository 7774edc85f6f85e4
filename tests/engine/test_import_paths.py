"""Where worker processes find the modules that they import."""

import sys
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.errors import UsageError
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.test_calls_in_workers import MODULE, python

slow = pytest.mark.slow

CALL = "\nif __name__ == '__main__':\n    print('best', go().best.score)\n"
# Modules of Python and of others that workers import before they know what to train.
FOREIGN = ("json", "signal", "msgspec", "traceback", "select", "numpy")


def strewn(folder: Path) -> Path:
    """Fill a folder with modules that no program may import by chance."""
    folder.mkdir()
    for name in FOREIGN:
        text = f"import os; os.write(2, b'{name} of the working folder'); raise ImportError"
        (folder / f"{name}.py").write_text(text)
    return folder


@slow
@pytest.mark.parametrize("started_by", ["file", "command"])
def test_workers_import_nothing_from_a_folder_that_the_script_does_not(
    started_by: str, tmp_path: Path
) -> None:
    folder = strewn(tmp_path / "work")
    script = tmp_path / "train.py"
    script.write_text(MODULE + CALL)
    moved = f"{MODULE}\nos.chdir({str(folder)!r}){CALL}"
    where, *words = {"file": (folder, str(script)), "command": (tmp_path, "-c", moved)}[started_by]
    code, out, err = python(Path(where), *map(str, words))
    assert code == 0, err
    assert "best" in out
    assert "of the working folder" not in err


@slow
@pytest.mark.parametrize("target", ["train", "train.py"])
def test_the_command_lines_workers_import_nothing_by_chance(target: str, tmp_path: Path) -> None:
    folder = strewn(tmp_path / "work")
    (folder / "train.py").write_text(MODULE)
    code, _, err = python(folder, "-P", "-m", "ramet", "run", target, "--workers", "1")
    assert code == 0, err
    assert "of the working folder" not in err


@slow
def test_workers_have_the_path_and_the_settings_of_the_script(tmp_path: Path) -> None:
    program = """
import subprocess
sys.path.insert(0, "somewhere")
SEES = "import os, sys; print(sys.flags.safe_path, sys.path, *sorted(os.environ))"

def seen():
    command = [sys.executable, "-c", SEES]
    child = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = [word for word in child.split() if not word.endswith("_THREADS")]
    return "|".join([repr(sys.path), repr(sys.flags.safe_path), *words])

def train(session):
    for turn in session.turns({"seen": seen()}):
        list(turn)
        turn.report(1.0)

if __name__ == "__main__":
    sys.path.append("/elsewhere/\\ud800")
    there = go(train, workers=1).best.load()["seen"]
    assert there == seen(), (there, seen())
"""
    (tmp_path / "train.py").write_text(MODULE + program)
    code, _, err = python(tmp_path, "train.py")
    assert code == 0, err


def test_a_path_may_be_longer_than_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"/nowhere/{'x' * 150}{number}" for number in range(1_000)]
    monkeypatch.setattr(sys, "path", [*sys.path, *many])
    assert trained(workers=1).population.done


@pytest.mark.parametrize("executable", [None, "", "/nowhere/python"])
def test_workers_take_an_interpreter_that_can_be_started(
    executable: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(UsageError, match=r"sys\.executable must be the Python that workers are"):
        trained(workers=1, store=tmp_path / "runs.db")
    # There is no run yet, which another strategy could not go on with.
    assert trained(store=tmp_path / "runs.db", seed=1).population.done


def trained(**more: Any) -> ramet.Result:
    arguments: dict[str, Any] = {"steps": 8, "mode": "max", "seed": 0} | more
    return ramet.run(Descent(), SPACE, pbt(), **arguments)
