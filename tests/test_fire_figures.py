"""The drawings of docs/fire.md."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.fire_figures.curves import made_up
from ramet.curves import best_score_diff, overlap


def test_the_curve_that_rose_more_in_all_is_not_the_one_that_improves_faster() -> None:
    longer, shorter = made_up()
    found = overlap(longer, shorter)
    assert found is not None
    assert found.first > 0
    assert longer[-1] - longer[0] > shorter[-1] - shorter[0]
    assert best_score_diff(shorter, longer) > 0


def drawn(folder: Path) -> dict[str, bytes]:
    command = [sys.executable, "-m", "experiments.fire_figures", "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_the_drawings_are_the_same_each_time(tmp_path: Path) -> None:
    drawings = drawn(tmp_path / "once")
    assert set(drawings) == {"fire-mechanisms.svg", "fire-curves.svg"}
    assert b"best_score_diff(b, a)" in drawings["fire-curves.svg"]
    assert drawn(tmp_path / "twice") == drawings
