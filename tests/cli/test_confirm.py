"""`ramet confirm`, and what other commands say of a run that was confirmed."""

import json
from pathlib import Path

import ramet as library
from tests.cli.shell import called

SCRIPT = """
def evaluate(state, rng):
    return state["x"][0] + rng.normal()

def other(state, rng):
    return -state["x"][0]
"""


def test_a_run_is_confirmed_by_a_script(two: Path, tmp_path: Path) -> None:
    script = tmp_path / "fresh_scores.py"
    script.write_text(SCRIPT)
    code, out, err = called("confirm", two, "one", script, "--top", 3, "--times", 2)
    assert (code, err) == (0, "")
    best = library.history.load(two, "one").best
    assert best.confirmed is not None
    both = f"best {best.score:.6g} when it was measured, {best.confirmed}"
    assert "on 2 fresh evaluations" in both
    assert both in out

    assert called("confirm", two, "one", script, "--top", 3, "--times", 2)[1] == out
    assert both in called("status", two, "one")[1].replace("\n", " ")
    status = json.loads(called("status", two, "one", "--json")[1])
    assert (status["best"], status["confirmed"]) == (best.score, list(best.confirmed.scores))
    assert called("doctor", two)[0] == 0
    table = called("export", two, "one", "--table", "confirmations", "--format", "jsonl")[1]
    assert [json.loads(line)["repeat"] for line in table.splitlines()] == [0, 1] * 3


def test_a_script_without_the_function_is_refused(two: Path, tmp_path: Path) -> None:
    (tmp_path / "no_scores.py").write_text("")
    code, _, err = called("confirm", two, "one", tmp_path / "no_scores.py")
    assert code == 2
    assert "must define 'evaluate', but does not" in err


def test_a_script_that_confirms_by_itself_is_read_for_its_function(
    two: Path, tmp_path: Path
) -> None:
    script = tmp_path / "confirms.py"
    call = f"ramet.confirm(other, ramet.history.load({str(two)!r}, 'other'))"
    script.write_text(f"{SCRIPT}\nimport ramet\n{call}\n")
    assert called("confirm", two, "one", f"{script}:evaluate", "--top", 1, "--times", 2)[0] == 0
    assert library.history.load(two, "other").best.confirmed is None
