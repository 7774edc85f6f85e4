"""The examples do what their first lines say."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ramet
from tests.frameworks import framework, package

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.slow
def test_the_digits_are_classified(tmp_path: Path) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "needs", "least"),
    [
        ("pytorch_mnist.py", ["torch", "sklearn"], 94),
        ("ppo_pytorch.py", ["torch", "gymnasium"], 150),
        ("ppo_jax.py", ["jax", "optax"], 300),
    ],
)
def test_a_public_script_learns_as_a_population(
    tmp_path: Path, script: str, needs: list[str], least: float
) -> None:
    said, *schedule = printed(script, needs, tmp_path)
    assert float(re.findall(r"[\d.]+", said)[0]) > least
    assert all(line.startswith("from ") for line in schedule)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_population_of_gpts_learns_to_spell(tmp_path: Path) -> None:
    said, *_ = printed("char_gpt.py", ["torch"], tmp_path)
    loss, by_chance = map(float, re.findall(r"\d+\.\d+", said))
    assert loss < 0.6 * by_chance
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_hydra_configures_runs_that_share_a_store(tmp_path: Path) -> None:
    package("hydra")
    script = EXAMPLES / "hydra" / "train.py"
    settings = ["steps=40", "workers=0", "strategy.population=5", "space.lr.low=0.5"]
    command = [sys.executable, script, "--multirun", "seed=1,2", "hidden=1.0,2.0", *settings]
    said = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    scores = [float(line.split("best ")[1]) for line in said if line.startswith("climb,")]
    assert len(scores) == 4
    # Of 40 steps with a learning rate between 0.5 and 1, by one layer's width.
    assert all(20.0 <= score <= 80.0 for score in scores)
    rest = "space.lr.low=0.5,steps=40,strategy.population=5"
    for seed, hidden in itertools.product((1, 2), (1.0, 2.0)):
        name = f"climb,hidden={hidden},seed={seed},{rest}"
        run = ramet.history.load(tmp_path / "runs.db", name)
        assert (run.seed, len(run.population)) == (seed, 5)


def printed(script: str, needs: list[str], folder: Path) -> list[str]:
    """Run an example in a folder; return the lines that it printed."""
    for needed in needs:
        framework(needed)
    done = subprocess.run(
        [sys.executable, EXAMPLES / script], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()
