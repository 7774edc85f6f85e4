import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ramet.cli import app, main
from ramet.cli.demo import strategies, train
from ramet.cli.digits import Digits, Labelled, Network, cross_entropy, gradients, load
from ramet.errors import StoreError


def ramet(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load()


@pytest.fixture(scope="module")
def demo() -> str:
    done = ramet("demo", "--members", "5", "--steps", "40")
    assert done.exit_code == 0
    return done.output


def test_help_lists_the_commands() -> None:
    shown = ramet("--help")
    assert shown.exit_code == 0
    assert "demo" in shown.output


def test_a_bare_call_shows_the_help_too() -> None:
    assert ramet().output.strip() == ramet("--help").output.strip()


@pytest.mark.parametrize("command", [info.name for info in app.registered_commands])
def test_every_command_has_help_and_an_example(command: str) -> None:
    shown = ramet(command, "--help").output
    assert f"Example: ramet {command}" in shown


def test_the_version_is_that_of_the_package() -> None:
    assert ramet("--version").output == f"ramet {version('ramet')}\n"


def test_the_demo_compares_pbt_with_random_search(demo: str) -> None:
    assert "PBT and random search each train 5 networks" in demo
    assert "test accuracy" in demo
    assert "Of 597 test images, PBT recognises " in demo


def test_the_demo_prints_the_schedule_from_step_0(demo: str) -> None:
    _, schedule = demo.split("The schedule that PBT found")
    assert "\n  0 to " in schedule


def test_the_demo_fits_on_80_columns(demo: str) -> None:
    assert max(map(len, demo.splitlines())) <= 80


def test_the_demo_prints_the_same_for_the_same_seed(demo: str) -> None:
    again = ramet("demo", "--members", "5", "--steps", "40").output
    assert again.rpartition("Took")[0] == demo.rpartition("Took")[0]


def test_pbt_and_random_search_begin_alike_and_get_the_same_steps(digits: Digits) -> None:
    pbt, random = (
        train(strategy, digits, name=name, steps=20, seed=3)
        for name, strategy in strategies(members=5, steps=20).items()
    )
    assert pbt.opening.births == random.opening.births
    assert [member.trained for member in pbt.population] == [20] * 5
    assert [member.trained for member in random.population] == [20] * 5


def test_too_few_members_are_refused_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--members", "3"])
    told = capsys.readouterr()
    assert told.err.startswith("ramet: truncation must leave at least one member at each end")
    assert "Traceback" not in told.err
    assert told.out == ""


def test_without_scikit_learn_the_demo_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit, match="2"):
        main(["demo"])
    assert "pip install 'ramet[demo]'" in capsys.readouterr().err


def test_what_is_not_the_users_mistake_ends_with_another_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreadable() -> None:
        raise StoreError("the store cannot be read")

    monkeypatch.setattr("ramet.cli.demo.load", unreadable)
    with pytest.raises(SystemExit, match="1"):
        main(["demo"])
    assert capsys.readouterr().err == "ramet: the store cannot be read\n"


def test_the_digits_are_split_into_parts_that_share_nothing(digits: Digits) -> None:
    images = np.concatenate([part.images for part in digits[:3]])
    assert len(images) == 1797
    assert len(np.unique(images, axis=0)) == 1797


def test_an_image_that_is_not_moved_is_the_image_itself(digits: Digits) -> None:
    np.testing.assert_array_equal(digits.moved[0], digits.train.images)
    assert len({moved.tobytes() for moved in digits.moved}) == 9


def test_the_gradients_are_the_slopes_of_the_loss(digits: Digits) -> None:
    rng = np.random.default_rng(0)
    state = Network(digits).init(rng)
    params = {name: values.astype(np.float64) for name, values in state["params"].items()}
    data = Labelled(digits.train.images[:16].astype(np.float64), digits.train.labels[:16])
    mask = (rng.random((16, 64)) < 0.5) * 2.0
    for name, slopes in gradients(params, data, mask).items():
        direction = rng.normal(size=slopes.shape)
        ahead, behind = (
            cross_entropy({**params, name: params[name] + way * direction}, data, mask)
            for way in (1e-6, -1e-6)
        )
        assert (slopes * direction).sum() == pytest.approx((ahead - behind) / 2e-6, rel=1e-5)


def test_a_step_trains_and_leaves_the_state_it_was_given_alone(digits: Digits) -> None:
    network = Network(digits)
    before = network.init(np.random.default_rng(0))
    loss = network.evaluate(before)
    hparams = {"lr": 0.1, "dropout": 0.2, "weight_decay": 1e-4, "shift": 0.2}
    after = network.step(before, hparams, 100, np.random.default_rng(1))
    assert network.evaluate(after) < loss / 2
    assert network.evaluate(before) == loss


def test_weights_that_overflow_have_no_finite_loss_and_raise_nothing(digits: Digits) -> None:
    network = Network(digits)
    state = network.init(np.random.default_rng(0))
    hparams = {"lr": 1e6, "dropout": 0.0, "weight_decay": 0.1, "shift": 0.0}
    state = network.step(state, hparams, 50, np.random.default_rng(1))
    assert not np.isfinite(network.evaluate(state))


def test_the_package_runs_as_the_command() -> None:
    command = [sys.executable, "-m", "ramet", "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "demo" in shown.stdout
