"""`ramet plot`."""

import sys
from pathlib import Path

import numpy as np
import pytest

import ramet as library
from tests.cli.conftest import begin
from tests.cli.shell import ramet

# What files begin with.
PNG, SVG, PDF = b"\x89PNG", b"<?xml", b"%PDF"


@pytest.mark.parametrize(
    "kind",
    [
        *("scores", "hyperparameter", "importance", "tree", "lineage", "parallel", "workers"),
        "best-so-far",
    ],
)
def test_a_run_is_drawn(kind: str, done: Path, tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    drawn = ramet("plot", done, "quick", kind, "-o", path)
    assert (drawn.exit_code, drawn.stdout, drawn.stderr) == (0, "", f"{path}\n")
    assert path.read_bytes().startswith(PNG)


@pytest.mark.parametrize(("suffix", "start"), [(".svg", SVG), (".pdf", PDF)])
def test_the_files_name_says_its_format(
    suffix: str, start: bytes, done: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"plot{suffix}"
    assert ramet("plot", done, "tree", "--color", "lr", "-o", path).exit_code == 0
    assert path.read_bytes().startswith(start)


def test_the_file_is_called_as_its_kind_unless_it_is_told(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ramet("plot", done, "scores").stderr == "scores.png\n"
    assert (tmp_path / "scores.png").exists()


def test_runs_that_differ_in_a_number_are_one_line(tmp_path: Path) -> None:
    store, path = tmp_path / "runs.db", tmp_path / "best.svg"
    for name in ("pbt-0", "pbt-1", "other"):
        begin(store, name)
    assert ramet("plot", store, "best-so-far", "-o", path).exit_code == 0
    assert "pbt (2 runs)" in path.read_text()
    assert "other (1 run)" in path.read_text()
    assert ramet("plot", store, "pbt-0", "other", "best-so-far", "-o", path).exit_code == 0
    assert "pbt-0 (1 run)" in path.read_text()


def test_what_cannot_be_drawn_is_said(two: Path, tmp_path: Path) -> None:
    def told(*arguments: object) -> str:
        refused = ramet("plot", two, *arguments)
        assert refused.exit_code == 2
        return refused.stderr

    assert "tree must be of one run, but got ['one', 'other']" in told("one", "other", "tree")
    assert "must be named unless it is the only one" in ramet("plot", two, "tree").stderr
    assert "must be one of the run's, ['lr'], but got 'x'" in told("one", "tree", "--color", "x")
    assert "must end with one of" in told("one", "tree", "-o", tmp_path / "tree.jpg")
    assert "must go where it can be written" in told("one", "tree", "-o", tmp_path / "a" / "b.png")
    assert "is not one of" in told("one", "forest")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run whose loop logs one metric, and one whose loop logs two."""

    def train(session: library.Session) -> None:
        for turn in session.turns({"x": np.zeros(1)}):
            list(turn)
            turn.log({"val/loss": turn.number})
            if turn.hparams["both"]:
                turn.log(kl=0.5)
            turn.report(turn.hparams["lr"])

    store = tmp_path_factory.mktemp("logged") / "runs.db"
    for name, both in (("one", False), ("both", True)):
        space = library.Space(lr=library.LogUniform(1e-3, 1.0), both=library.Constant(both))
        strategy = library.PBT(population=5, turn_steps=1)
        library.run(train, space, strategy, steps=3, mode="max", seed=0, store=store, name=name)
    return store


def test_standard_output_is_no_file_to_draw_in(logged: Path) -> None:
    refused = ramet("plot", logged, "one", "scores", "-o", "-")
    assert refused.exit_code == 2
    assert "but got -o -, standard output; write -o scores.png" in refused.stderr
    assert "stdout" not in refused.stderr


def test_a_metric_is_drawn_and_exported(logged: Path, tmp_path: Path) -> None:
    path = tmp_path / "kl.svg"
    assert ramet("plot", logged, "both", "metric", "--metric", "kl", "-o", path).exit_code == 0
    assert "both: kl, 15 points" in path.read_text()
    assert ramet("plot", logged, "one", "metric", "-o", path).exit_code == 0
    assert "one: val/loss, 15 points" in path.read_text()
    printed = ramet("export", logged, "one", "--table", "metrics").stdout.splitlines()
    assert printed[0] == "member,turn,step,name,value"
    assert len(printed) == 1 + 15


def test_a_metric_that_is_not_there_is_said(logged: Path, done: Path) -> None:
    def told(*arguments: object) -> str:
        refused = ramet("plot", *arguments)
        assert refused.exit_code == 2
        return refused.stderr

    assert "has ['kl', 'val/loss']; add --metric kl" in told(logged, "both", "metric")
    assert "logged, ['val/loss'], but got 'kl'" in told(logged, "one", "metric", "--metric", "kl")
    assert "run 'quick' has none; turn.log(loss=...)" in told(done, "quick", "metric")


def test_without_matplotlib_it_says_how_to_get_it(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("ramet.plots", raising=False)
    for name in [name for name in sys.modules if name.startswith("ramet.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused = ramet("plot", done, "tree")
    assert refused.exit_code == 2
    assert "pip install 'ramet[plots]'" in refused.stderr
