import contextlib
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ramet.cli import app, main
from tests.frameworks import framework

framework("torch")
framework("matplotlib", "plots")

import torch

from ramet.cli.demo import REPORT, strategies, verdict
from ramet.cli.digits import (
    Digits,
    Found,
    best_of,
    compete,
    load,
    loss,
    network,
    shift_images,
)
from ramet.schedule import Piece, Schedule


def demo(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["demo", "--members", "6", "--steps", "120", *arguments])


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load(seed=0)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    with contextlib.chdir(tmp_path_factory.mktemp("demo")):
        done = demo("--workers", "0")
        assert done.exit_code == 0, done.output
        assert REPORT.read_text().startswith("<!doctype html>")
    return done.output


def test_the_demo_compares_fire_with_pbt_and_random_search(shown: str) -> None:
    assert "FIRE, PBT and random search each train 6 networks" in shown
    assert "test accuracy" in shown
    assert "Of 597 test images recognised: FIRE " in shown


def test_the_demo_prints_the_schedule_from_step_0(shown: str) -> None:
    _, schedule = shown.split("The schedule that FIRE found")
    assert " 0 to " in schedule


def test_the_demo_says_where_its_report_is(shown: str) -> None:
    assert shown.splitlines()[-1].endswith(f"in a browser: {REPORT}")


def test_a_report_that_cannot_be_written_is_said_before_anything_is_trained() -> None:
    refused = CliRunner().invoke(app, ["demo", "--report", "nowhere/report.html"])
    assert refused.exit_code == 2
    assert "in a folder that exists, but got nowhere/report.html" in refused.output


def test_the_demo_fits_on_80_columns(shown: str) -> None:
    assert max(map(len, shown.splitlines())) <= 80


def test_a_demo_is_recorded_where_it_is_told_to_be(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    report = tmp_path / "fire.html"
    done = demo("--workers", "0", "--store", str(store), "--report", str(report))
    assert done.exit_code == 0, done.output
    assert ">FIRE-0</h1>" in report.read_text()
    listed = CliRunner().invoke(app, ["runs", str(store)]).output
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["FIRE-0", "PBT-0", "random-0"]


def test_all_begin_with_the_same_learning_rates_and_get_the_same_steps(digits: Digits) -> None:
    results = [
        compete(strategy, digits, name=name, steps=120, seed=3)
        for name, strategy in strategies(members=6).items()
    ]
    assert {tuple(m.trained for m in result.population) for result in results} == {(120,) * 6}
    first, *others = ([birth.hparams for birth in r.opening.births] for r in results)
    assert others == [first, first]


@pytest.mark.slow
def test_worker_processes_come_to_the_same(digits: Digits) -> None:
    fire = strategies(members=6)["FIRE"]
    alone, together = (
        best_of(compete(fire, digits, name="FIRE", steps=120, seed=3, workers=workers), digits)
        for workers in (0, 2)
    )
    assert together == alone


@pytest.mark.parametrize(
    ("recognised", "told"),
    [
        ((9, 5, 2), "Of 10 test images recognised: FIRE 9, PBT 5 and random 2. FIRE wins."),
        ((5, 9, 2), "Of 10 test images recognised: FIRE 5, PBT 9 and random 2. PBT wins."),
        (
            (2, 9, 9),
            "Of 10 test images recognised: FIRE 2, PBT 9 and random 9. PBT and random tie.",
        ),
    ],
)
def test_the_verdict_names_whoever_won(recognised: tuple[int, ...], told: str) -> None:
    names = ("FIRE", "PBT", "random")
    schedule = Schedule((Piece(start=0, stop=1, hparams={"lr": 0.1}),))
    found = {
        name: Found(loss=0.0, recognised=number, schedule=schedule)
        for name, number in zip(names, recognised, strict=True)
    }
    assert verdict(found, 10) == told


def test_without_scikit_learn_the_demo_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit, match="2"):
        main(["demo"])
    told = capsys.readouterr()
    assert "sklearn.datasets" in told.err
    assert "pip install 'ramet[demo]'" in told.err


def test_too_few_members_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--members", "3"])
    told = capsys.readouterr()
    assert "--members" in told.err
    assert told.out == ""


def test_steps_that_fire_cannot_compare_are_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--steps", "100", "--workers", "0"])
    assert capsys.readouterr().err.startswith("ramet: steps must be a multiple of evaluate_every")


def test_the_digits_are_split_into_parts_that_share_nothing(digits: Digits) -> None:
    images = torch.cat([part.images for part in digits])
    assert len(images) == 1797
    assert len(images.unique(dim=0)) == 1797


def test_the_seed_says_which_digits_are_in_what_part(digits: Digits) -> None:
    assert torch.equal(load(seed=0).test.images, digits.test.images)
    assert not torch.equal(load(seed=1).test.images, digits.test.images)


def test_images_are_moved_nine_ways_and_keep_their_digits(digits: Digits) -> None:
    images, labels = shift_images(digits.train)
    assert torch.equal(labels.view(9, -1), digits.train.labels.expand(9, -1))
    copies = images.view(9, -1, 64)
    # Not at all, which is the fifth of the nine, and up by one.
    assert torch.equal(copies[4], digits.train.images)
    assert torch.equal(copies[7][:, :56], digits.train.images[:, 8:])


def test_training_lowers_the_loss(digits: Digits) -> None:
    torch.manual_seed(0)
    untrained = loss(network(), digits.validation)
    random = strategies(members=6)["random"]
    found = best_of(compete(random, digits, name="random", steps=120, seed=0), digits)
    assert found.loss < untrained / 1.5
    assert found.recognised > 200
