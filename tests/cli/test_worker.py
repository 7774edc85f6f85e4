"""`ramet worker`."""

from pathlib import Path
from typing import Any

import pytest

import ramet as library
from tests.cli import quick
from tests.cli.shell import QUICK, ended, figures, ramet, started, trains, until


def _begun(store: Path, **other: Any) -> None:
    settings = {
        "space": quick.space,
        "strategy": quick.strategy,
        "steps": quick.steps,
        "mode": "max",
        "seed": 0,
    }
    library.open(store, **{"name": "quick", **settings, **other})


def _without(tmp_path: Path, *names: str) -> Path:
    """Return a script that lacks some of what `ramet run` wants."""
    text = QUICK.read_text()
    for name in names:
        text = text.replace(f"\n{name} =", f"\nmy_{name} =")
    script = tmp_path / f"{tmp_path.name}.py"  # A module of its own for each test.
    script.write_text(text)
    return script


def test_workers_join_a_run_and_share_its_members(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = started("run", QUICK, "--store", store, "--steps", 200, pause_s=0.05)
    until(lambda: trains(store))
    joined = started("worker", store, "quick", QUICK, pause_s=0.05)
    until(lambda: figures(store)["workers"] == 2)
    for process in (run, joined):
        code, out, err = ended(process)
        assert (code, err) == (0, "")
        assert out.startswith("Run 'quick' is done: 5 members, 100 turns, ")


def test_a_worker_takes_what_its_module_lacks_from_the_record(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    _begun(store)
    script = _without(tmp_path, "space", "strategy", "steps")
    told = ramet("worker", store, "quick", script)
    assert told.output.startswith("Run 'quick' is done: 5 members, 20 turns, ")


def test_a_worker_takes_a_dict_for_a_space_and_turns_from_the_record(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    _begun(store, strategy=library.PBT(population=5), steps=100)
    script = _without(tmp_path, "steps")
    text = script.read_text().replace("ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))", "SPACE")
    script.write_text(
        text.replace("SPACE", '{"lr": ramet.LogUniform(1e-3, 1.0)}').replace(", turn_steps=10", "")
    )
    told = ramet("worker", store, "quick", script)
    assert told.output.startswith("Run 'quick' is done: 5 members, 100 turns, ")


def test_a_worker_gives_its_script_arguments(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    _begun(store)
    script = _without(tmp_path)
    script.write_text("import sys\n" + script.read_text() + "\nassert sys.argv[1:] == ['-v']\n")
    assert "is done" in ramet("worker", store, "quick", script, "--", "-v").output


@pytest.mark.parametrize("option", ["space", "strategy"])
def test_a_worker_finds_what_is_called_otherwise(tmp_path: Path, option: str) -> None:
    store = tmp_path / "runs.db"
    _begun(store)
    script = _without(tmp_path, option)
    told = ramet("worker", store, "quick", script, f"--{option}", f"my_{option}")
    assert "is done" in told.output
    missing = ramet("worker", store, "quick", script, f"--{option}", option)
    assert missing.exit_code == 2
    assert f"must define '{option}'" in missing.stderr


def test_a_worker_says_when_it_needs_the_code_of_a_space(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    space = library.Space(lr=library.LogUniform(1e-3, 1.0), where=lambda h: h["lr"] < 1)
    _begun(store, space=space)
    refused = ramet("worker", store, "quick", _without(tmp_path, "space"))
    assert refused.exit_code == 2
    assert "for `ramet worker` define 'space' in the module" in refused.stderr


def test_a_worker_says_when_it_needs_the_code_of_a_strategy(tmp_path: Path) -> None:
    class Own(library.RandomSearch):
        """A strategy of somebody's own."""

    store = tmp_path / "runs.db"
    _begun(store, strategy=Own(population=5, turn_steps=10))
    refused = ramet("worker", store, "quick", _without(tmp_path, "strategy"))
    assert refused.exit_code == 2
    assert "for `ramet worker` define 'strategy' in the module" in refused.stderr


def test_a_worker_refuses_other_settings_than_the_run_was_begun_with(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    _begun(store, strategy=library.PBT(population=6, turn_steps=10))
    refused = ramet("worker", store, "quick", QUICK)
    assert refused.exit_code == 2
    assert "5" in refused.stderr


def test_a_worker_begins_no_run(tmp_path: Path) -> None:
    missing = ramet("worker", tmp_path / "runs.db", "quick", QUICK)
    assert missing.exit_code == 1
    assert not (tmp_path / "runs.db").exists()
    _begun(tmp_path / "runs.db", name="other")
    missing = ramet("worker", tmp_path / "runs.db", "quick", QUICK)
    assert missing.exit_code == 1
    assert "'other'" in missing.stderr


def test_a_worker_leaves_a_stopped_run_alone(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    _begun(store)
    ramet("stop", store)
    assert "`ramet run` goes on with it" in ramet("worker", store, "quick", QUICK).output
    assert figures(store)["turns"] == 0
