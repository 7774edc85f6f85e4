"""Runs with checkpoints in object storage are deleted and renamed with them, and no others are."""

from pathlib import Path

import pytest

pytest.importorskip("obstore", reason="needs obstore: pip install 'ramet[cloud]'")

import ramet
from ramet.blobs import ObjectBlobs
from ramet.engine.run.removing import delete_run
from ramet.engine.run.renaming import rename_run
from ramet.errors import StoreError
from ramet.history.doctor import examine
from ramet.places import Place, place
from tests.cloud.servers import BUCKET, Server, boto
from tests.engine.loops import SPACE, Descent, pbt


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def train(storage: ramet.Storage, name: str) -> ramet.Result:
    return ramet.run(Descent(), SPACE, pbt(), steps=8, seed=0, mode="max", store=storage, name=name)


def findings(where: Place) -> list[object]:
    return [it for run in where.store.runs() for it in examine(where.store, where.blobs, run)]


def objects_in(server: Server, url: str) -> set[str]:
    """Return the folders under a prefix, which are the names of runs."""
    prefix = url.removeprefix(f"s3://{BUCKET}/") + "/"
    found = boto(server).list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {each["Key"].removeprefix(prefix).split("/")[0] for each in found}


def test_a_run_is_renamed_and_deleted_with_its_objects_and_others_stay(
    s3: Server, url: str, tmp_path: Path
) -> None:
    storage = ramet.Storage(tmp_path / "runs.db", blobs=url)
    weights = train(storage, "run").best.load()["w"]
    train(storage, "other")
    where = place(storage)
    rename_run("run", "new", store=where.store, blobs=where.blobs, worker="w")
    assert objects_in(s3, url) == {"new", "other"}
    assert (train(storage, "new").best.load()["w"] == weights).all()
    # The old name is free, also in object storage.
    train(storage, "run")
    assert findings(where) == []
    delete_run("run", store=where.store, blobs=where.blobs, worker="w")
    assert objects_in(s3, url) == {"new", "other"}
    assert findings(where) == []
    train(storage, "run")


@pytest.mark.usefixtures("s3")
def test_what_a_killed_rename_leaves_in_object_storage_can_be_deleted(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ramet.Storage(tmp_path / "runs.db", blobs=url)
    weights = train(storage, "run").best.load()["w"]
    where = place(storage)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ramet.engine.run.renaming.clear_away", die)
    with pytest.raises(KeyboardInterrupt):
        rename_run("run", "new", store=where.store, blobs=where.blobs, worker="w")
    assert where.store.runs() == ["new", "run"]
    delete_run("run", store=where.store, blobs=where.blobs, worker="w")
    assert where.store.runs() == ["new"]
    assert (train(storage, "new").best.load()["w"] == weights).all()
    assert findings(where) == []


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("verb", ["delete", "rename"])
def test_what_is_left_can_be_deleted_if_nobody_has_said_yet_to_whom_it_belongs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    storage = ramet.Storage(tmp_path / "runs.db", blobs=url)
    train(storage, "run")
    where = place(storage)
    attach = ObjectBlobs.attach

    def die(self: ObjectBlobs, run: str, owner: str, *, anew: bool = False) -> None:
        if anew:
            raise KeyboardInterrupt
        attach(self, run, owner)

    words = ["run"] if verb == "delete" else ["run", "new"]
    change = {"delete": delete_run, "rename": rename_run}[verb]
    with monkeypatch.context() as patched:
        patched.setattr(ObjectBlobs, "attach", die)
        with pytest.raises(KeyboardInterrupt):
            change(*words, store=where.store, blobs=where.blobs, worker="w")
    delete_run("run", store=where.store, blobs=where.blobs, worker="w")
    assert where.store.runs() == (["new"] if verb == "rename" else [])
    assert findings(where) == []


def test_checkpoints_of_another_store_under_the_name_are_left_alone(
    s3: Server, url: str, tmp_path: Path
) -> None:
    theirs = train(ramet.Storage(tmp_path / "theirs.db", blobs=url), "theirs")
    ours = ramet.Storage(tmp_path / "ours.db", blobs=ObjectBlobs(url))
    train(ours, "ours")
    where = place(ours)
    with pytest.raises(StoreError, match="has checkpoints of another run"):
        rename_run("ours", "theirs", store=where.store, blobs=where.blobs, worker="w")
    assert theirs.best.load()
    assert where.store.runs() == ["ours"]
    assert findings(where) == []
