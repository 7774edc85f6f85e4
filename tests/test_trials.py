"""What experiments share: trials on record, comparisons, and the command."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from scipy import stats

from experiments.trials import Experiment, Record, Setting, compare, run_experiment, summarise
from experiments.trials.comparison import correct
from ramet.errors import UsageError


def record(path: Path, **settings: object) -> Record:
    return Record(path, experiment="toy", settings=settings)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results" / "toy.json"
    written = record(path, steps=3)
    written.add("pbt", 1, {"test": 0.25})
    written.add("fire", 0, {"test": 0.5})
    again = record(path, steps=3)
    assert sorted(again.trials) == sorted(written.trials)
    assert ("pbt", 1) in again
    assert ("pbt", 0) not in again
    assert again.figures("fire", "test", [0]) == [0.5]
    assert [path.name for path in path.parent.iterdir()] == ["toy.json"]


def test_trials_of_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    record(path, steps=3).add("pbt", 0, {"test": 0.25})
    with pytest.raises(UsageError, match=r"the same settings, but .* choose another file"):
        record(path, steps=4)


def test_methods_are_compared_at_the_seeds_that_all_have(tmp_path: Path) -> None:
    its = record(tmp_path / "toy.json")
    for seed in (0, 1, 2):
        its.add("pbt", seed, {"test": float(seed)})
    for seed in (1, 2, 7):
        its.add("fire", seed, {"test": float(seed)})
    assert its.seeds(["pbt", "fire"]) == [1, 2]


def test_p_is_that_of_the_paired_test_and_corrected() -> None:
    better, worse = [3.0, 4.1, 5.2, 6.0], [1.0, 2.0, 3.3, 4.2]
    same = [1.1, 1.9, 3.4, 4.1]
    found = compare([("a", "b", better, worse), ("c", "b", same, worse)])
    expected = [stats.ttest_rel(better, worse).pvalue, stats.ttest_rel(same, worse).pvalue]
    assert [each.p for each in found] == pytest.approx(expected)
    assert found[0].corrected_p == pytest.approx(2 * expected[0])
    assert [each.verdict for each in found] == ["higher", "no difference"]


def test_holm_keeps_the_order_of_ps() -> None:
    assert correct([0.04, 0.011, 0.5]) == pytest.approx([0.08, 0.033, 0.5])


def test_one_seed_or_equal_scores_show_no_difference() -> None:
    found = compare([("a", "b", [2.0], [1.0]), ("a", "b", [1.0, 2.0], [1.0, 2.0])])
    assert [each.verdict for each in found] == ["no difference", "no difference"]


def make(trained: list[tuple[str, int]]) -> Experiment:
    def train(method: str, seed: int, setting: Setting) -> Mapping[str, float]:
        trained.append((method, seed))
        return {"test": seed + (10.0 if method == "fire" else 0.0), "quick": float(setting.quick)}

    return Experiment(
        name="toy",
        train=train,
        methods=["pbt", "fire"],
        settings=lambda *, quick: {"quick": quick},
        compared="test",
        headings={"test": "test"},
        pairs=[("fire", "pbt")],
    )


def call(experiment: Experiment, folder: Path, *options: str) -> None:
    sys.argv = ["toy", "--quick", "--folder", str(folder), "--json", *options]
    run_experiment([experiment], "A toy.")


def test_the_command_trains_only_what_is_not_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    trained: list[tuple[str, int]] = []
    call(make(trained), tmp_path, "--methods", "pbt")
    assert trained == [("pbt", 0), ("pbt", 1)]
    capsys.readouterr()
    call(make(trained), tmp_path, "--seeds", "3")
    assert trained[2:] == [("fire", 0), ("fire", 1), ("pbt", 2), ("fire", 2)]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-3] == lines[-3] | {"method": "pbt", "seeds": 3, "test": 1.0, "test_sd": 1.0}
    assert lines[-1] == lines[-1] | {"method": "fire", "difference": 10.0, "verdict": "higher"}


def test_a_trial_that_fails_leaves_the_others_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)

    def train(method: str, seed: int, setting: Setting) -> Mapping[str, float]:
        del setting
        if (method, seed) == ("fire", 1):
            raise KeyboardInterrupt
        return {"test": 0.0}

    experiment = Experiment(
        name="toy",
        train=train,
        methods=["pbt", "fire"],
        settings=lambda *, quick: {"quick": quick},
        compared="test",
        headings={"test": "test"},
        pairs=[],
    )
    with pytest.raises(KeyboardInterrupt):
        call(experiment, tmp_path)
    kept = Record(tmp_path / "toy-quick.json", experiment="toy", settings={"quick": True})
    assert [(trial.method, trial.seed) for trial in kept.trials] == [
        ("fire", 0),
        ("pbt", 0),
        ("pbt", 1),
    ]
    assert summarise(experiment, kept)[0]["seeds"] == 1


def test_the_machine_is_named_without_loading_a_framework() -> None:
    asked = "from experiments.trials import record; import sys; print(record.machine(), "
    asked += "'jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    assert "cores" in done.stdout
    assert done.stdout.split()[-1] == "False"
