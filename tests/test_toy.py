"""The PBT paper's toy, and the figure of it."""

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.toy import final_q, strategies, train


@pytest.mark.parametrize("copies", ["both", "weights"])
def test_a_grid_never_leaves_the_half_that_it_sees(copies: str) -> None:
    assert final_q(train(strategies(copies)["grid"], seed=0)) <= 0.39


def test_copies_of_weights_alone_let_each_member_train_the_other_half() -> None:
    score = final_q(train(strategies("weights")["exploit only"], seed=0))
    assert score == pytest.approx(1.172, abs=0.001)


def test_copies_of_hyperparameters_too_make_two_equal_members() -> None:
    assert final_q(train(strategies("both")["exploit only"], seed=0)) <= 0.39


@pytest.mark.slow
@pytest.mark.parametrize(("copies", "median"), [("weights", 1.18), ("both", 1.19)])
def test_pbt_finds_the_optimum(copies: str, median: float) -> None:
    scores = [final_q(train(strategies(copies)["PBT"], seed)) for seed in range(20)]
    assert statistics.median(scores) >= median


@pytest.mark.slow
def test_the_figure_is_drawn(tmp_path: Path) -> None:
    out = tmp_path / "toy.png"
    command = [sys.executable, "-m", "experiments.toy", "--seeds", "2", "--out", str(out)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    assert [line.split("  ")[0] for line in shown.stdout.splitlines()[:4]] == [
        "PBT",
        "exploit only",
        "explore only",
        "grid",
    ]
    assert out.read_bytes().startswith(b"\x89PNG")
