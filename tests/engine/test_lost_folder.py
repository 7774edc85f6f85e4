"""The folder of a run's checkpoints that is no longer there: the run stops, and makes none anew."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.errors import CheckpointMissing
from ramet.events import canonical
from tests.engine.loops import SPACE, Descent, descent_loop, pbt
from tests.engine.scripts import findings_in, result_in

STRATEGY = pbt(population=5, exploit=None, synchronous=True)


def settings(store: Path, **changes: Any) -> dict[str, Any]:
    same = {"space": SPACE, "strategy": STRATEGY, "steps": 24, "mode": "max", "seed": 0}
    return {**same, "store": store, **changes}


def folder_of(store: Path) -> Path:
    return store.with_name(store.name + "-checkpoints")


def all_moved(folder: Path, aside: Path) -> None:
    folder.rename(aside)


def the_runs_moved(folder: Path, aside: Path) -> None:
    aside.mkdir()
    (folder / "run").rename(aside / "run")


def unmounted(folder: Path, aside: Path) -> None:
    folder.rename(aside)
    folder.mkdir()


def replaced_by_an_empty_one(folder: Path, aside: Path) -> None:
    the_runs_moved(folder, aside)
    (folder / "run").mkdir()


def emptied(folder: Path, aside: Path) -> None:
    shutil.copytree(folder, aside)
    for file in (folder / "run").iterdir():
        file.unlink()


def replaced_by_a_file(folder: Path, aside: Path) -> None:
    all_moved(folder, aside)
    folder.touch()


LOSSES: list[Callable[[Path, Path], None]] = [
    all_moved,
    the_runs_moved,
    unmounted,
    replaced_by_an_empty_one,
    emptied,
    replaced_by_a_file,
]


def put_back(folder: Path, aside: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.unlink(missing_ok=True)
    aside.rename(folder)


def undisturbed() -> ramet.Population:
    return ramet.run(descent_loop, **settings(None)).population


def losing(store: Path, lose: Callable[[Path, Path], None]) -> Callable[[ramet.Session], None]:
    """Return a loop, one of whose turns loses the folder once every member has a checkpoint."""
    folder, aside = folder_of(store), store.with_name("aside")

    def loop(session: ramet.Session) -> None:
        task = Descent()
        state = task.init(session.rng)
        for turn in session.turns(state):
            for _ in turn:
                state.update(task.step(state, turn.hparams, 1, turn.rng))
            turn.report(task.evaluate(state))
            if turn.number == 2 and not aside.exists():
                lose(folder, aside)

    return loop


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
def test_a_run_stops_and_goes_on_to_the_bit_once_it_is_back(
    lose: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    with pytest.raises(CheckpointMissing, match="mount it; then run again") as caught:
        ramet.run(losing(store, lose), **settings(store))
    assert str(folder_of(store) / "run") in str(caught.value)
    before = result_in(store)
    assert before.population.turns == 10
    assert {finding.promise for finding in findings_in(store)} == {"I7"}

    # Another call changes nothing.
    with pytest.raises(CheckpointMissing):
        ramet.run(descent_loop, **settings(store))
    assert canonical(result_in(store).events) == canonical(before.events)
    assert not list(folder_of(store).rglob("*.safetensors"))

    put_back(folder_of(store), store.with_name("aside"))
    result = ramet.run(descent_loop, **settings(store))
    assert result.population == undisturbed()
    assert findings_in(store) == []


@pytest.mark.slow
def test_all_workers_stop_and_no_process_is_replaced(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    with pytest.raises(CheckpointMissing, match="must stay where they were put"):
        ramet.run(losing(store, all_moved), **settings(store), workers=2)
    assert not folder_of(store).exists()
    assert not result_in(store).lineage().copies

    put_back(folder_of(store), store.with_name("aside"))
    result = ramet.run(descent_loop, **settings(store), workers=2)
    assert result.population == undisturbed()


def test_a_worker_that_has_read_of_no_checkpoint_yet_makes_no_folder_either(
    tmp_path: Path,
) -> None:
    store = tmp_path / "runs.db"
    slow, quick = (ramet.open(**settings(store), worker=name) for name in ("slow", "quick"))
    first = slow.ask()
    assert first is not None
    other = quick.ask()
    assert other is not None
    state = {"w": np.zeros(3)}
    list(first), list(other)
    quick.tell(other, 1.0, state=state, applied=["lr", "decay"])
    folder_of(store).rename(tmp_path / "aside")
    with pytest.raises(CheckpointMissing):
        slow.tell(first, 1.0, state=state, applied=["lr", "decay"])
    assert not folder_of(store).exists()
    assert slow.population.turns == 1

    put_back(folder_of(store), tmp_path / "aside")
    slow.tell(first, 1.0, state=state, applied=["lr", "decay"])
    assert slow.population.turns == 2


def test_a_run_that_has_kept_nothing_yet_makes_its_folder_when_it_must(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    ramet.open(**settings(store))
    assert not folder_of(store).exists()
    assert ramet.run(descent_loop, **settings(store)).population == undisturbed()


def test_a_run_that_is_over_is_still_shown_without_its_checkpoints(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    ramet.run(descent_loop, **settings(store))
    shutil.rmtree(folder_of(store))
    assert ramet.run(descent_loop, **settings(store)).population == undisturbed()


def test_new_runs_may_be_kept_by_the_same_blobs_once_all_was_deleted(tmp_path: Path) -> None:
    blobs = ramet.blobs.DirectoryBlobs(tmp_path / "checkpoints")
    for number in range(2):
        store = tmp_path / f"{number}.db"
        result = ramet.run(
            descent_loop, **settings(store) | {"store": ramet.Storage(store, blobs=blobs)}
        )
        assert result.population == undisturbed()
        shutil.rmtree(blobs.path)
