"""A run can be deleted and renamed, wherever it is kept, and nothing else is lost by it."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet import history
from ramet.blobs import DirectoryBlobs, MemoryBlobs
from ramet.engine.run.removing import delete_run
from ramet.engine.run.renaming import rename_run
from ramet.errors import (
    CheckpointMissing,
    LogMoved,
    NameTaken,
    RunInUse,
    RunNotFound,
    StoreError,
    StrategyError,
)
from ramet.events import canonical
from ramet.faults import REMOVING_POINTS, VARIABLE
from ramet.history.doctor import examine
from ramet.history.replayed import find_replays
from ramet.places import Place, place
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import finished, started
from tests.postgres import server


def settings(**changes: Any) -> dict[str, Any]:
    same = {"space": SPACE, "strategy": pbt(), "steps": 8, "mode": "max", "seed": 0}
    return {**same, **changes}


def train(storage: object, **changes: Any) -> ramet.Result:
    return ramet.run(Descent(), **settings(**changes), store=storage)


def delete(where: Place, run: str, *, force: bool = False) -> dict[str, int]:
    return delete_run(run, store=where.store, blobs=where.blobs, worker="w", force=force)


def rename(where: Place, run: str, to: str, *, force: bool = False) -> int:
    return rename_run(run, to, store=where.store, blobs=where.blobs, worker="w", force=force)


def findings(where: Place) -> list[object]:
    return [it for run in where.store.runs() for it in examine(where.store, where.blobs, run)]


def end(run: ramet.Run, turn: ramet.Turn) -> None:
    state = turn.load(default=Descent().init)
    run.tell(turn, 1.0, state=Descent().step(state, turn.hparams, turn.steps, turn.rng))


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'ramet[postgres]'")
    with server() as made:
        yield made.url


@pytest.fixture(params=["memory", "file", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ramet.Storage:
    match request.param:
        case "memory":
            return ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
        case "file":
            return ramet.Storage(tmp_path / "runs.db")
        case _:
            url = request.getfixturevalue("database")
            schema = "of_" + tmp_path.name.lower()
            return ramet.Storage(f"{url}?schema={schema}", blobs=DirectoryBlobs(tmp_path))


def test_a_deleted_run_leaves_nothing_and_others_stay_whole(storage: ramet.Storage) -> None:
    for name in ("run", "other"):
        train(storage, name=name)
    with_other = train(storage, name="other")
    where = place(storage)
    sizes = where.blobs.sizes("run")
    assert delete(where, "run") == sizes
    assert where.store.runs() == ["other"]
    assert where.blobs.sizes("run") == {}
    assert findings(where) == []
    assert with_other.best.load()
    # The name is free.
    assert train(storage, name="run").best.load()
    assert findings(where) == []


def test_a_renamed_run_has_its_log_and_its_checkpoints_under_the_new_name(
    storage: ramet.Storage,
) -> None:
    before = train(storage, name="run")
    weights, log = before.best.load()["w"], canonical(before.events)
    where = place(storage)
    assert rename(where, "run", "lm/2") == len(where.blobs.sizes("lm/2")) > 0
    assert where.store.runs() == ["lm/2"]
    assert where.blobs.sizes("run") == {}
    assert findings(where) == []
    # It goes on under its new name, and another one can be begun under the old.
    after = train(storage, name="lm/2", steps=12, existing="extend")
    assert canonical(after.events)[1 : len(log)] == log[1:]
    assert after.population.done
    assert (train(storage, name="run").best.load()["w"] == weights).all()
    assert findings(where) == []


def test_a_name_that_cannot_be_or_is_taken_changes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    for name in ("run", "other"):
        train(store, name=name)
    where = place(store)
    for name, error in (("other", NameTaken), ("run", NameTaken), ("", StrategyError)):
        with pytest.raises(error):
            rename(where, "run", name)
    with pytest.raises(RunNotFound):
        rename(where, "nothing", "new")
    with pytest.raises(RunNotFound):
        delete(where, "nothing")
    assert where.store.runs() == ["run", "other"]
    assert findings(where) == []


@pytest.mark.parametrize("change", [delete, lambda *it, **more: rename(*it, "new", **more)])
def test_a_run_at_work_is_changed_only_by_force_and_its_worker_writes_nothing_more(
    tmp_path: Path, change: Any
) -> None:
    store = tmp_path / "runs.db"
    train(store, name="other")
    run = ramet.open(store, **settings(), name="run", worker="gpu-03")
    turn = run.ask()
    assert turn is not None
    where = place(store)
    with pytest.raises(RunInUse, match="gpu-03 hold members of run 'run'"):
        change(where, "run")
    assert sorted(where.store.runs()) == ["other", "run"]
    change(where, "run", force=True)
    assert "run" not in where.store.runs()
    with pytest.raises(RunNotFound):
        end(run, turn)
    assert findings(where) == []


def meanwhile(monkeypatch: pytest.MonkeyPatch, *deeds: Callable[[], object]) -> None:
    """Have others act behind each copying of checkpoints, one deed each."""
    left, copy = list(deeds), DirectoryBlobs.copy

    def copy_and_let_others_act(self: DirectoryBlobs, *words: Any) -> None:
        copy(self, *words)
        if left:
            left.pop(0)()

    monkeypatch.setattr(DirectoryBlobs, "copy", copy_and_let_others_act)


def test_a_turn_that_ends_while_a_run_is_renamed_is_renamed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.db"
    run, where = ramet.open(store, **settings(), name="run"), place(store)

    def train_a_turn() -> None:
        turn = run.ask()
        assert turn is not None
        end(run, turn)

    meanwhile(monkeypatch, train_a_turn)
    rename(where, "run", "new")
    assert history.load(store, "new").population.turns == 1
    assert findings(where) == []


def test_of_two_who_rename_a_run_one_is_told_that_the_other_was_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.db"
    weights = train(store, name="run").best.load()["w"]
    where = place(store)

    def be_faster() -> None:
        rename(where, "run", "theirs")
        train(store, name="run", steps=12)

    meanwhile(monkeypatch, be_faster)
    with pytest.raises(LogMoved, match="another process renamed, deleted or overwrote run 'run'"):
        rename(where, "run", "ours")
    assert "ours" not in where.store.runs()
    assert (history.load(store, "theirs").best.load()["w"] == weights).all()
    assert findings(where) == []


def test_a_name_that_was_used_and_left_meanwhile_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.db"
    weights = train(store, name="run").best.load()["w"]
    where = place(store)

    def use_and_leave() -> None:
        train(store, name="new")
        delete(where, "new")

    meanwhile(monkeypatch, use_and_leave)
    assert rename(where, "run", "new") == len(where.blobs.sizes("new")) > 0
    assert where.store.runs() == ["new"]
    assert (history.load(store, "new").best.load()["w"] == weights).all()
    assert findings(where) == []


def test_what_is_left_under_the_old_name_may_be_deleted_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.db"
    train(store, name="run")
    where = place(store)
    meanwhile(monkeypatch, lambda: None, lambda: delete(where, "run"))
    assert rename(where, "run", "new") > 0
    assert where.store.runs() == ["new"]
    assert findings(where) == []


def kept_in(folder: Path) -> set[str]:
    return {its.name for its in folder.iterdir()}


KILLED = """
import sys
from ramet.engine.run.removing import delete_run
from ramet.engine.run.renaming import rename_run
from ramet.places import place

where = place(sys.argv[1])
kept = {"store": where.store, "blobs": where.blobs, "worker": "w"}
rename_run("run", "new", **kept) if sys.argv[2] == "rename" else delete_run("run", **kept)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "postgresql"])
@pytest.mark.parametrize(
    ("verb", "point"),
    [
        (verb, point)
        for verb in ("delete", "rename")
        for point in REMOVING_POINTS
        if not (verb == "delete" and point in {"copied", "renamed"})
        and not (verb == "rename" and point == "emptied")
    ],
)
def test_a_process_that_is_killed_leaves_a_sound_store_and_the_same_can_be_done_again(
    tmp_path: Path, request: pytest.FixtureRequest, verb: str, point: str, kind: str
) -> None:
    folder, script = tmp_path / "runs.db-checkpoints", tmp_path / "killed.py"
    store = str(tmp_path / "runs.db")
    if kind == "postgresql":
        url = request.getfixturevalue("database")
        store = f"{url}?schema=killed_{verb}_{point}&blobs={folder}"
    script.write_text(KILLED)
    result = train(store, name="run")
    weights = result.best.load()["w"]
    train(store, name="other")
    ramet.replay(Descent(), result.schedule(), seeds=[0], store=store, name="replay")
    code, _, err = finished(started(script, store, verb, **{VARIABLE: point}))
    assert code == -signal.SIGKILL, err
    where = place(store)
    assert findings(where) == []
    names = where.store.runs()
    assert kept_in(folder) - {"new"} <= set(names)
    if verb == "rename":
        whole = "new" if "new" in names else "run"
        assert find_replays(where.store, whole) == ["replay"]
        assert (history.load(store, whole).best.load()["w"] == weights).all()
        if whole == "run":
            rename(where, "run", "new")
        else:
            delete(where, "run")
        assert (history.load(store, "new").best.load()["w"] == weights).all()
        assert find_replays(where.store, "new") == ["replay"]
    else:
        delete(where, "run")
    left = {"replay", "other"} | ({"new"} if verb == "rename" else set())
    assert set(where.store.runs()) == left
    assert kept_in(folder) == set(where.store.runs())
    assert findings(where) == []


def test_a_run_whose_checkpoints_are_gone_can_be_deleted(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    train(store, name="run")
    where = place(store)
    where.blobs.delete("run", where.blobs.sizes("run"))
    with pytest.raises(CheckpointMissing):
        history.load(store).best.load()
    assert delete(where, "run") == {}
    assert where.store.runs() == []


def test_a_folder_in_which_nothing_can_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    train(store, name="run")
    where = place(store)
    # Also root, as whom tests may run, can make no folder in place of a file.
    (tmp_path / "runs.db-checkpoints" / "new").write_bytes(b"")
    with pytest.raises(StoreError, match=r"checkpoints.new failed: "):
        rename(where, "run", "new")
    assert where.store.runs() == ["run"]
    assert findings(where) == []
