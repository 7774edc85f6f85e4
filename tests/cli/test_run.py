"""`ramet run`."""

import sys
from pathlib import Path

import pytest

import ramet as library
from tests.cli.shell import QUICK, called, figures, ramet


def test_a_script_is_trained_and_its_outcome_shown(tmp_path: Path) -> None:
    code, out, err = called("run", QUICK, "--seed", "0", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("Run 'quick' is done: 5 members, 20 turns, ")
    assert out.endswith(", seed 0.\n")
    assert figures(tmp_path / "runs.db")["state"] == "done"


def test_a_run_that_is_done_is_shown_again_and_trained_no_further(tmp_path: Path) -> None:
    command = ("run", QUICK, "--store", tmp_path / "runs.db", "--seed", 0)
    assert ramet(*command).output == ramet(*command).output


def test_worker_processes_train_a_script_of_another_folder(tmp_path: Path) -> None:
    code, out, err = called("run", QUICK, "--workers", "2", cwd=tmp_path)
    # Which member copies depends on timing, and such a short run may explore nothing, and say so.
    said = [line for line in err.splitlines() if "nothing was explored" not in line]
    assert (code, said) == (0, [])
    assert "is done: 5 members, 20 turns, " in out


def test_a_function_of_a_package_is_trained_where_the_command_is_called(tmp_path: Path) -> None:
    package = tmp_path / "lab" / "nets"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(QUICK.read_text().replace("def train(", "def climb("))
    code, out, err = called("run", "lab.nets:climb", "--workers", "1", "--seed", "0", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("Run 'nets' is done")


def test_a_script_may_name_its_parts_differently(tmp_path: Path) -> None:
    text = QUICK.read_text()
    for name in ("space", "strategy"):
        text = text.replace(f"{name} =", f"my_{name} =")
    script = tmp_path / "named_otherwise.py"
    script.write_text(text.replace("def train(", "def climb("))
    store = tmp_path / "runs.db"
    named = ("--space", "my_space", "--strategy", "my_strategy", "--name", "mine")
    done = ramet("run", f"{script}:climb", "--store", store, *named)
    assert done.output.startswith("Run 'mine' is done")


PARSES = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--gain", type=float, default=1.0)
gain = parser.parse_args().gain
"""


def _with_arguments(tmp_path: Path) -> Path:
    """Return a script whose scores depend on its arguments, at the top and in the loop."""
    text = QUICK.read_text().replace("\nspace =", f"{PARSES}\nspace =")
    text = text.replace(
        'turn.hparams["lr"]', 'turn.hparams["lr"] * parser.parse_args().gain * gain'
    )
    script = tmp_path / f"arguments_of_{tmp_path.name}.py"
    script.write_text(text)
    return script


@pytest.mark.parametrize(
    "workers", ["0", pytest.param("1", marks=pytest.mark.slow)], ids="{} workers".format
)
def test_a_script_finds_its_own_arguments(tmp_path: Path, workers: str) -> None:
    script, store = _with_arguments(tmp_path), tmp_path / "runs.db"
    command = ("run", script, "--store", store, "--workers", workers, "--seed", "0")
    for name, own in {"plain": (), "tenfold": ("--", "--gain", "10")}.items():
        code, _, err = called(*command, "--name", name, *own, cwd=tmp_path)
        assert (code, err) == (0, "")
    assert figures(store, "tenfold")["best"] == pytest.approx(100 * figures(store, "plain")["best"])


def test_arguments_of_a_script_stand_behind_two_dashes(tmp_path: Path) -> None:
    before = [*sys.argv]
    refused = ramet("run", QUICK, "digits", "--store", tmp_path / "runs.db")
    assert refused.exit_code == 2
    assert "must stand behind --" in refused.stderr
    assert not (tmp_path / "runs.db").exists()
    script = _with_arguments(tmp_path)
    done = ramet("run", script, "--store", tmp_path / "runs.db", "--", "--gain", "2")
    assert done.exit_code == 0
    assert sys.argv == before


def test_a_target_ends_a_run_and_another_goes_on_with_it(tmp_path: Path) -> None:
    command = ("run", QUICK, "--store", tmp_path / "runs.db", "--seed", 0)
    early = ramet(*command, "--target", "-1e9")
    assert early.exit_code == 0
    assert "is at its target: 5 members, " in early.output
    assert "`ramet run` without its target goes on with it" in early.output
    assert ramet("status", tmp_path / "runs.db").output.count("stopped")
    assert "is done: 5 members, 20 turns" in ramet(*command).output


def test_more_steps_take_extend(tmp_path: Path) -> None:
    command = ("run", QUICK, "--store", tmp_path / "runs.db")
    ramet(*command)
    refused = ramet(*command, "--steps", 60)
    assert refused.exit_code == 2
    assert "steps: 40 -> 60" in refused.stderr
    assert "--extend" in refused.stderr
    assert "30 turns" in ramet(*command, "--steps", 60, "--extend").output


def test_another_run_takes_the_name_of_an_old_one_with_overwrite(tmp_path: Path) -> None:
    command = ("run", QUICK, "--store", tmp_path / "runs.db")
    ramet(*command, "--seed", 0)
    assert "--overwrite" in ramet(*command, "--seed", 1).stderr
    assert "seed 1." in ramet(*command, "--seed", 1, "--overwrite").output
    both = ramet(*command, "--extend", "--overwrite")
    assert "--extend and --overwrite were both given" in both.stderr
    assert figures(tmp_path / "runs.db")["seed"] == 1


def test_as_many_workers_as_fit_the_machine_are_started_with_auto(tmp_path: Path) -> None:
    wrong = ramet("run", QUICK, "--store", tmp_path / "runs.db", "--workers", "many")
    assert wrong.exit_code == 2
    assert "'many' is neither a whole number nor 'auto'" in wrong.stderr
    command = ("run", QUICK, "--store", tmp_path / "runs.db", "--workers", "auto")
    assert "is done: 5 members, 20 turns" in ramet(*command).output
    for option in ("--threads", "--gpus"):
        alone = ramet("run", QUICK, "--store", tmp_path / "other.db", option, "1")
        assert "are for worker processes, but got --workers 0" in alone.stderr


def test_low_scores_win_with_mode_min(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    assert ramet("run", QUICK, "--store", store, "--mode", "min").exit_code == 0
    told = figures(store)
    assert told["mode"] == "min"
    assert 0 < told["best"] <= min(row["score"] for row in told["population"])


def test_the_best_at_the_end_is_told_where_it_is_not_the_best_ever(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    # Members climb, so that what is to be low is best in the first turn.
    done = ramet("run", QUICK, "--store", store, "--mode", "min")
    result = library.history.load(store)
    assert result.final.score > result.best.score
    said = f"best {result.best.score:.6g} ({result.final.score:.6g} at the end), seed"
    assert said in " ".join(done.output.split())
    up = ramet("run", QUICK, "--store", store, "--name", "up")
    assert "at the end" not in up.output


def test_the_mode_is_the_modules_unless_it_is_said(tmp_path: Path) -> None:
    script, store = tmp_path / "low.py", tmp_path / "runs.db"
    script.write_text(QUICK.read_text().replace('mode = "max"', 'mode = "min"'))
    assert ramet("run", script, "--store", store).exit_code == 0
    assert figures(store, "low")["mode"] == "min"
    assert ramet("run", script, "--store", store, "--name", "up", "--mode", "max").exit_code == 0
    assert figures(store, "up")["mode"] == "max"


def test_a_run_has_to_say_its_mode(tmp_path: Path) -> None:
    script = tmp_path / "modeless.py"
    script.write_text(QUICK.read_text().replace('mode = "max"', ""))
    refused = ramet("run", script, "--store", tmp_path / "runs.db")
    assert refused.exit_code == 2
    assert "must define 'mode' ('max' or 'min') unless --mode is given" in refused.stderr


def test_a_name_is_told_as_it_is(tmp_path: Path) -> None:
    done = ramet("run", QUICK, "--store", tmp_path / "runs.db", "--name", "a[red]:smile:")
    assert "Run 'a[red]:smile:' is done" in done.output
    assert "a[red]:smile:: done" in ramet("status", tmp_path / "runs.db").output


@pytest.mark.parametrize("name", ["train", "space", "strategy", "steps"])
def test_what_a_module_lacks_is_named(tmp_path: Path, name: str) -> None:
    script = tmp_path / f"without_{name}.py"
    text = QUICK.read_text()
    script.write_text(text.replace(f"\n{name} =", "\nthing =").replace(f"def {name}", "def thing"))
    refused = ramet("run", script, "--store", tmp_path / "runs.db")
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert f"must define '{name}'" in refused.stderr
    assert "thing" in refused.stderr
    assert not (tmp_path / "runs.db").exists()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nowhere.py", "nowhere.py does not"),
        ("no_such_module", "there is no module 'no_such_module'"),
        ("tests.no_such_module:train", "there is no module 'tests.no_such_module'"),
        ("tests/cli", "there is no module 'tests/cli'"),
        ("", "'' must be importable"),
        ("..", "'..' must be importable"),
    ],
)
def test_a_target_that_is_not_there_is_refused_in_a_sentence(target: str, told: str) -> None:
    refused = ramet("run", target)
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import math\nmath.sqrt(-1)", "it raised ValueError: "),
        ("import missing_of_it", "it raised ModuleNotFoundError: No module named 'missing_of_it'"),
        ("def f(:", "it raised SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "it raised SystemExit: 3"),
    ],
)
def test_a_script_that_raises_is_refused_in_a_sentence(
    tmp_path: Path, code: str, told: str
) -> None:
    script = tmp_path / "broken.py"
    script.write_text(code)
    exit_code, out, err = called("run", script, cwd=tmp_path)
    assert (exit_code, out) == (2, "")
    assert err.startswith(f"ramet: {script} must be importable, but {told}")
    assert "broken.py" in err
    assert len(err.splitlines()) == 1


def test_the_line_that_raised_is_told(tmp_path: Path) -> None:
    script = tmp_path / "broken_deep.py"
    script.write_text("def f():\n    raise OSError\n\nf()\n")
    assert f"({script}, line 2)" in ramet("run", script).stderr


def test_a_script_without_the_arguments_that_it_needs_says_where_they_go(tmp_path: Path) -> None:
    script = tmp_path / "needs_data.py"
    lines = ["import argparse", "p = argparse.ArgumentParser()", "p.add_argument('data')"]
    script.write_text("\n".join([*lines, "p.parse_args()"]))
    refused = ramet("run", script)
    assert f"({script}, line 4); a script's own arguments go behind --" in refused.stderr


def test_a_module_that_what_is_to_be_trained_lacks_is_not_taken_for_it(tmp_path: Path) -> None:
    script = tmp_path / "lacksomething.py"
    script.write_text("import lacks")
    refused = ramet("run", script)
    assert "it raised ModuleNotFoundError: No module named 'lacks'" in refused.stderr


@pytest.mark.parametrize("name", ["json.py", "a.b.py", "sys.py"])
def test_a_script_by_the_name_of_another_module_is_refused(tmp_path: Path, name: str) -> None:
    script = tmp_path / name
    script.write_text(QUICK.read_text())
    refused = ramet("run", script)
    assert refused.exit_code == 2
    assert f"rename {name}" in refused.stderr


def test_a_store_that_is_something_else_is_refused_in_a_sentence(tmp_path: Path) -> None:
    refused = ramet("run", QUICK, "--store", tmp_path)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("ramet: ")
    assert "Traceback" not in refused.stderr


def test_training_that_always_raises_ends_with_exit_code_1(tmp_path: Path) -> None:
    script = tmp_path / "always_raises.py"
    script.write_text(QUICK.read_text().replace("    state =", "    1 / 0\n    state ="))
    refused = ramet("run", script, "--store", tmp_path / "runs.db")
    assert refused.exit_code == 1
    assert "ZeroDivisionError" in refused.stderr


def test_nothing_but_the_outcome_is_printed_where_there_is_no_terminal(tmp_path: Path) -> None:
    done = ramet("run", QUICK, "--store", tmp_path / "runs.db")
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert "\x1b" not in done.stdout


def test_the_outcome_counts_attempts_that_failed(tmp_path: Path) -> None:
    script = tmp_path / "fails_once.py"
    # The third turn raises, once.
    raises = "assert next(whole, True)"
    text = QUICK.read_text().replace("time.sleep(PAUSE_S)", raises)
    script.write_text(text + "\n\nwhole = iter([True, True, False])\n")

    said = ramet("run", script, "--store", tmp_path / "runs.db", "--seed", 0).output

    assert " copies, 1 failed attempt, best " in said
    assert "failed attempt" not in ramet("run", QUICK, "--store", tmp_path / "whole.db").output


def test_the_outcome_says_which_turns_the_budget_gave(tmp_path: Path) -> None:
    script = tmp_path / "paced.py"
    script.write_text(QUICK.read_text().replace(", turn_steps=10", ""))

    said = ramet("run", script, "--store", tmp_path / "runs.db", "--seed", 0).output

    assert said.endswith("seed 0. It had turns of 2 steps, which follow from the budget.\n")
