"""A run that goes on with other code than it began with says so."""

import ast
import os
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


def test_a_worker_that_joins_with_other_code_is_not_sent_to_begin_another_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def first(session: ramet.Session) -> None:
        for turn in session.turns({"w": 1.0}):
            list(turn)
            turn.report(turn.hparams["lr"])

    def second(session: ramet.Session) -> None:
        for turn in session.turns({"w": 1.0}):
            list(turn)
            turn.report(-turn.hparams["lr"])

    space, store = {"lr": ramet.LogUniform(1e-3, 1.0)}, tmp_path / "runs.db"
    strategy = ramet.PBT(population=5, turn_steps=5)
    run = ramet.run(first, space, strategy, steps=10, mode="max", store=store, target=-1.0)
    assert not run.population.done
    caplog.clear()
    ramet.open(store, space=space, strategy=strategy, steps=10, mode="max")
    ramet.join(second, store)
    (said,) = [message for message in caplog.messages if "other code" in message]
    assert "give this worker the code that the run began with" in said
    assert "overwrite" not in said


def test_code_whose_source_cannot_be_read_has_no_fingerprint() -> None:
    made: dict[str, Any] = {"__name__": "nowhere"}
    exec("def train(session): pass", made)  # noqa: S102 - of this file
    assert fingerprint(made["train"]) is None
    assert fingerprint(len) is None


HELPER = "def helper(x):\n    return x + 1\n\n\n"
PLAIN_DECORATOR = "def repeat(f):\n    def call(s):\n        return f(s)\n    return call\n\n\n"
KEPT = "def keep(f, **options):\n    return f\n\n\n"
# What is trained, and a part of its code.
TRAINED = {
    "a decorated function": (PLAIN_DECORATOR + "@repeat\ndef train(s):\n    return 1\n", "1\n"),
    "the decorator": (
        (
            "import functools\ndef repeat(f):\n    @functools.wraps(f)\n    def call(s):\n"
            "        return f(s)\n    return call\n@repeat\ndef train(s):\n    return 1\n"
        ),
        "return f(s)",
    ),
    "a decorated function that it uses": (
        PLAIN_DECORATOR + "@repeat\ndef used(s):\n    return 1\ndef train(s):\n    used(s)\n",
        "1\n",
    ),
    "a function around it": (
        (
            "def make():\n    def near():\n        return 1\n    def train(s):\n        near()\n"
            "    return train\ntrain = make()\n"
        ),
        "1\n",
    ),
    "an argument of a partial": (
        HELPER
        + "import functools\ndef call(f, s):\n    f(s)\ntrain = functools.partial(call, helper)",
        "x + 1",
    ),
    "a partial that it uses": (
        HELPER + "import functools\nhelp = functools.partial(helper)\ndef train(s):\n    help(s)\n",
        "x + 1",
    ),
    "a lambda in a call": (KEPT + "train = keep(\n    lambda s: 1,\n    steps=20,\n)\n", "s: 1"),
    "a base class": (
        (
            "class Base:\n    def go(self, s):\n        return 1\nclass Own(Base):\n    pass\n"
            "train = Own().go\n"
        ),
        "1\n",
    ),
}


@pytest.mark.parametrize(("source", "part"), TRAINED.values(), ids=TRAINED)
def test_a_change_of_any_part_of_what_is_trained_is_found(
    tmp_path: Path, source: str, part: str
) -> None:
    other = part.replace("1", "2").replace("f(s)", "f(s) + 1")
    before = module(source, tmp_path / "a.py").found
    after = module(source.replace(part, other), tmp_path / "b.py").found
    assert None not in {before, after}
    assert before != after


def test_other_arguments_beside_a_lambda_are_no_change(tmp_path: Path) -> None:
    source, _ = TRAINED["a lambda in a call"]
    before = module(source, tmp_path / "a.py").found
    assert before is not None
    assert module(source.replace("20", "30"), tmp_path / "b.py").found == before


def test_another_docstring_is_no_change(tmp_path: Path) -> None:
    one, other = (f'def train(s):\n    """{text}"""\n    return 1\n' for text in ("One.", "Other."))
    assert module(one, tmp_path / "a.py").found == module(other, tmp_path / "b.py").found


def test_code_that_nests_deeper_than_can_be_read_has_no_fingerprint(tmp_path: Path) -> None:
    # Python itself compiles a chain of this length, but code that walks it runs out of stack.
    source = f"def train(s):\n    return s{'.a' * 800}\n"
    assert module(source, tmp_path / "deep.py").found is None


def test_a_file_that_is_edited_while_its_code_runs_fails_no_run(tmp_path: Path) -> None:
    made = module(HELPER + "def train(s):\n    return helper(s)\n", tmp_path / "edited.py")
    (tmp_path / "edited.py").write_text("text = '''\n\n(\n")
    os.utime(tmp_path / "edited.py", (1, 1))
    assert fingerprint(made.train) is None


def test_the_source_of_a_module_is_parsed_once_for_all_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = "".join(f"class C{nth}:\n    pass\n" for nth in range(20))
    names = ", ".join(f"C{nth}" for nth in range(20))
    parsed: list[str] = []
    parse = ast.parse

    def count(source: str) -> ast.AST:
        parsed.append(source)
        return parse(source)

    monkeypatch.setattr(ast, "parse", count)
    made = module(f"{classes}def train(s):\n    return [{names}]\n", tmp_path / "many.py")
    assert made.found is not None
    assert len(parsed) == 1
