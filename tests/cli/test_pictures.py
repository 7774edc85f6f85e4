"""`ramet plot`."""

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import begin
from tests.cli.shell import ramet

# What files begin with.
PNG, SVG, PDF = b"\x89PNG", b"<?xml", b"%PDF"


@pytest.mark.parametrize(
    "kind", ["scores", "hyperparameter", "tree", "lineage", "parallel", "workers", "best-so-far"]
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
