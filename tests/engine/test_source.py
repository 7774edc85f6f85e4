"""A run that goes on with other code than it began with says so."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ramet
from ramet.engine.source import fingerprint
from tests.engine.scripts import finished, started

SCRIPT = """
import ramet

RATE = 1.0


def shrink(w, lr):
    return w * (1 - lr)


def train(session):
    state = {"w": 1.0}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] = shrink(state["w"], turn.hparams["lr"])
        turn.report(-abs(state["w"]))


space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=5, turn_steps=5)
steps = 20
mode = "max"

if __name__ == "__main__":
    ramet.run(train, space, strategy, steps=steps, mode=mode, store="runs.db", name="train")
"""
CHANGES = {
    "the function": ("-abs(state", "-2 * abs(state"),
    "what it uses": ("w * (1 - lr)", "w * (1 - lr) ** 2"),
}
SAID = "although the code has changed since it began"


def module(source: str, path: Path) -> ModuleType:
    """Import a script under a name of its own."""
    path.write_text(source)
    made: Any = ModuleType(path.stem)
    made.__file__ = str(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, path.stem, made)
        exec(compile(source, str(path), "exec"), vars(made))  # noqa: S102 - written above
        made.found = fingerprint(made.train)
    return made


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_a_script_that_has_changed_is_said_to_have(tmp_path: Path, before: str, after: str) -> None:
    script = tmp_path / "train.py"
    for text in (SCRIPT, SCRIPT.replace(before, after)):
        script.write_text(text)
        code, _, err = finished(started(script))
        assert code == 0
    assert "is over already" in err
    assert SAID in err
    command = [sys.executable, "-m", "ramet", "run", "train.py"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert SAID in told.stderr


def test_what_does_not_matter_to_training_is_no_change(tmp_path: Path) -> None:
    plain = module(SCRIPT, tmp_path / "plain.py").found
    assert plain is not None
    others = [
        SCRIPT.replace("steps = 20", "steps = 30"),
        SCRIPT.replace("        for _ in turn", "        # A comment.\n\n        for _ in turn"),
        SCRIPT.replace("turn.report(-abs(state", "turn.report(-abs( state"),
    ]
    for nth, text in enumerate(others):
        assert text != SCRIPT
        assert module(text, tmp_path / f"other{nth}.py").found == plain


def test_a_run_that_goes_on_with_other_code_warns_once_and_names_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def settings() -> dict[str, Any]:
        space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
        strategy = ramet.PBT(population=5, turn_steps=5)
        return {"space": space, "strategy": strategy, "mode": "max", "store": tmp_path / "runs.db"}

    def first(session: ramet.Session) -> None:
        for turn in session.turns({"w": 1.0}):
            list(turn)
            turn.report(turn.hparams["lr"])

    def second(session: ramet.Session) -> None:
        for turn in session.turns({"w": 1.0}):
            list(turn)
            turn.report(-turn.hparams["lr"])

    ramet.run(first, **settings(), steps=10)
    ramet.run(first, **settings(), steps=15, existing="extend")
    assert "other code" not in caplog.text
    ramet.run(second, **settings(), steps=20, existing="extend")
    (said,) = [message for message in caplog.messages if "other code" in message]
    assert said.startswith("run 'run' began with other code")
    assert "existing='overwrite' (--overwrite)" in said


def test_code_whose_source_cannot_be_read_has_no_fingerprint() -> None:
    made: dict[str, Any] = {"__name__": "nowhere"}
    exec("def train(session): pass", made)  # noqa: S102 - of this file
    assert fingerprint(made["train"]) is None
    assert fingerprint(len) is None
