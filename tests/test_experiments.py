"""The short form of each experiment ends with a verdict for each comparison that it makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frameworks import framework, package

# Of an experiment on translation.
FIGURES = ("development", "test", "replay")


def run_quick(name: str, folder: Path, *options: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", f"experiments.{name}", "--quick", "--json", "--seeds", "1"]
    done = subprocess.run(
        [*command, "--folder", str(folder), *options], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def need_fashion_mnist() -> None:
    # Imported here, because the other experiments run without what its module imports.
    from experiments.fashion_mnist import FOLDER  # noqa: PLC0415 - see above

    if not FOLDER.is_dir():
        reason = f"needs {FOLDER}: apt-get install dataset-fashion-mnist"
        if os.environ.get("CI"):
            raise FileNotFoundError(reason)
        pytest.skip(reason)


def need_help_texts() -> None:
    from experiments.help_texts import FOLDER, GERMAN  # noqa: PLC0415 - as above

    if not (FOLDER / GERMAN).is_dir():
        reason = f"needs {FOLDER}: apt-get install libreoffice-help-en-us libreoffice-help-de"
        if os.environ.get("CI"):
            raise FileNotFoundError(reason)
        pytest.skip(reason)


@pytest.mark.slow
def test_the_parts_of_pbt_are_compared(tmp_path: Path) -> None:
    lines = run_quick("analyses", tmp_path, "--methods", "pbt", "4 members", "weights only")
    assert [line["method"] for line in lines[-4:]] == [
        "4 members",
        "weights only",
        "pbt/replay",
        "pbt/loss",
    ]
    assert {line["verdict"] for line in lines[-4:]} == {"no difference"}  # one seed


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["image", "clean", "large-batches", "one-layer", "residual"])
def test_networks_classify_images_and_so_do_replays(tmp_path: Path, variant: str) -> None:
    framework("jax")
    need_fashion_mnist()
    methods = ["fire-22", "pbt-averaged-22"]
    lines = run_quick("image", tmp_path, "--variant", variant, "--methods", *methods)
    for line in lines:
        if "test" in line:
            assert min(float(str(line[name])) for name in ("validation", "test", "replay")) > 50


@pytest.mark.slow
def test_what_users_would_take_instead_is_trained_as_well(tmp_path: Path) -> None:
    framework("jax")
    package("optuna")
    need_fashion_mnist()
    lines = run_quick("image", tmp_path, "--methods", "schedule-free-22", "optuna-median")
    tested = [float(str(line["test"])) for line in lines if "test" in line]
    assert len(tested) == 2
    assert min(tested) > 50


@pytest.mark.slow
def test_networks_translate_and_so_do_replays(tmp_path: Path) -> None:
    framework("jax")
    package("sacrebleu")
    need_help_texts()
    lines = run_quick("translation", tmp_path, "--methods", "pbt", "random search")
    bleu = [float(str(line[name])) for line in lines if "test" in line for name in FIGURES]
    assert len(bleu) == 2 * len(FIGURES)
    # Hardly anything is learnt in so few steps.
    assert all(0 <= each < 50 for each in bleu)


@pytest.mark.slow
def test_agents_learn_to_hold_the_pole(tmp_path: Path) -> None:
    framework("jax")
    package("gymnax")
    lines = run_quick("reinforcement", tmp_path, "--methods", "random search", "pbt, truncation")
    for line in lines:
        if "played" in line:
            assert float(str(line["played"])) > 40  # at random the pole falls after about 20


@pytest.mark.slow
def test_agents_play_breakout(tmp_path: Path) -> None:
    framework("jax")
    package("gymnax")
    options = ["--variant", "breakout", "--methods", "pbt, truncation"]
    lines = [line for line in run_quick("reinforcement", tmp_path, *options) if "played" in line]
    assert lines
    for line in lines:
        assert all(0 <= float(str(line[name])) < 200 for name in ("score", "played", "replay"))


@pytest.mark.slow
def test_agents_swing_a_pendulum(tmp_path: Path) -> None:
    framework("jax")
    package("gymnax")
    options = ["--variant", "pendulum", "--methods", "pbt, truncation", "fire"]
    lines = run_quick("reinforcement", tmp_path, *options)
    for line in lines:
        if "played" in line:
            # Of what hangs still all the time it is -1,974, and at random about -1,200.
            assert -1_600 < float(str(line["played"])) < 0


@pytest.mark.slow
def test_no_method_of_the_protocol_trains_more_steps_than_eight_members(tmp_path: Path) -> None:
    package("psutil")
    need_fashion_mnist()
    lines = run_quick("protocol", tmp_path)
    steps = {line["method"]: line["member_steps"] for line in lines if "member_steps" in line}
    assert {"ipbt, renewed", "fire", "mf-pbt", "pb2"} < steps.keys()
    assert max(float(str(count)) for count in steps.values()) <= 8 * 100


@pytest.mark.slow
def test_searches_of_other_libraries_train_the_same_network(tmp_path: Path) -> None:
    for name in ("optuna", "psutil", "ray", "pyarrow"):
        package(name)
    need_fashion_mnist()
    methods = ["pbt", "one prodigy", "schedule-free", "optuna hyperband", "ray pbt", "ray asha"]
    lines = run_quick("alternatives", tmp_path, "--methods", *methods)
    tested = [float(str(line["test"])) for line in lines if "test" in line]
    assert len(tested) == len(methods)
    assert min(tested) > 40


@pytest.mark.slow
def test_what_a_generator_draws_is_scored_and_shown(tmp_path: Path) -> None:
    framework("jax")
    package("matplotlib")
    need_fashion_mnist()
    # One member at a time, which compiles the least.
    options = ["--engine", "inline", "--methods", "pbt, truncation"]
    line = run_quick("gan", tmp_path, *options)[-1]
    assert 1.0 <= float(str(line["inception"])) <= 10.0
    assert (tmp_path / "judge-200.npz").exists()
    assert (tmp_path / "pbt, truncation-0-quick.png").stat().st_size > 1_000
