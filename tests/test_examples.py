"""The examples do what their first lines say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frameworks import framework

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.slow
def test_the_digits_are_read(tmp_path: Path) -> None:
    script = EXAMPLES / "digits.py"
    command = [sys.executable, "-m", "ramet", "run", script, "--workers", "2", "--steps", "200"]
    done = subprocess.run(
        [*command, "--seed", "0"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("Run 'digits' is done: 16 members, 32 turns")
    assert float(done.stdout.split("best ")[1].split(",")[0]) > 0.9


@pytest.mark.slow
def test_turns_are_trained_wherever_one_likes(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "ask_tell.py"]
    first, again = (
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    )
    said, *schedule = first.splitlines()
    assert float(re.findall(r"[\d.]+", said)[0]) > 85
    assert all(line.startswith("from step ") for line in schedule)
    # It was over, and nothing was trained anew.
    assert again == first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "needs", "extra"),
    [
        ("lightning_digits.py", "lightning", "lightning"),
        ("huggingface_tiny.py", "transformers", "huggingface"),
        ("sb3_cartpole.py", "stable_baselines3", "sb3"),
    ],
)
def test_a_loop_that_somebody_else_wrote_trains_a_population(
    tmp_path: Path, script: str, needs: str, extra: str
) -> None:
    framework(needs, extra)
    done = subprocess.run(
        [sys.executable, EXAMPLES / script],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    said, *schedule = done.stdout.splitlines()
    assert float(re.findall(r"[\d.]+", said)[0]) > 90
    assert all(line.startswith("from step ") for line in schedule)
    assert list(tmp_path.iterdir()) == []
