"""`ramet front`, and what other commands say of a run with several objectives."""

from pathlib import Path

import msgspec
import pytest

import ramet as library
from tests.cli.shell import ramet
from tests.engine.test_objectives import trained


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("front") / "runs.db"
    trained(store=store)
    return store


def test_the_front_is_a_table(traded: Path) -> None:
    said = ramet("front", traded)
    front = library.history.load(traded).front()
    heading, _, columns, *rows = said.stdout.splitlines()
    assert heading == f"run: {len(front)} of 80 turns are on the front"
    assert columns.split() == ["score", "cost", "member", "turn", "step", "aim", "lr"]
    assert [int(row.split()[2]) for row in rows] == [each.member for each in front]


def test_json_has_all_of_each_turn(traded: Path) -> None:
    lines = [msgspec.json.decode(line) for line in ramet("front", traded, "--json").stdout.split()]
    front = library.history.load(traded).front()
    assert [line["metrics"] for line in lines] == [each.metrics for each in front]
    assert [line["score"] for line in lines] == [each.score for each in front]
    assert lines[0]["checkpoint"] == front[0].checkpoint.key
    assert lines[0]["hparams"] == front[0].hparams


def test_it_is_drawn_and_exported(traded: Path, tmp_path: Path) -> None:
    path = tmp_path / "front.png"
    assert ramet("plot", traded, "front", "-o", path).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "metrics.cost" in ramet("export", traded, "--table", "turns").stdout.splitlines()[0]


def test_checkpoints_of_the_front_are_neither_pruned_nor_damage(traded: Path) -> None:
    assert ramet("prune", traded).exit_code == 0
    assert ramet("doctor", traded).exit_code == 0
    assert all(each.load() for each in library.history.load(traded).front())


def test_a_missing_checkpoint_of_the_front_is_found_by_the_doctor(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    result = trained(store=store)
    live = {member.checkpoint for member in result.population}
    old = next(each.checkpoint for each in result.front()[1:] if each.checkpoint not in live)
    result.blobs.delete("run", [old.key])
    assert old.key in ramet("doctor", store).stdout


def test_a_run_by_its_score_has_none(done: Path) -> None:
    said = ramet("front", done)
    assert said.exit_code == 2
    assert "a front needs a run with several objectives" in said.stderr
