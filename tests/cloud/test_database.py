"""A record in PostgreSQL and checkpoints in object storage: what workers on many machines share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("obstore", reason="needs obstore: pip install 'ramet[cloud]'")
pytest.importorskip("psycopg", reason="needs psycopg: pip install 'ramet[postgres]'")

import ramet
from ramet import history
from ramet.blobs import ObjectBlobs
from ramet.errors import StoreError
from ramet.events import canonical
from tests.cloud.servers import Server
from tests.engine.loops import SPACE, Descent, pbt
from tests.postgres import server


@pytest.fixture(scope="module")
def databases() -> Iterator[str]:
    with server() as made:
        yield made.url


def train(store: object, **more: object) -> ramet.Result:
    settings = {"steps": 24, "seed": 3, "name": "lm", **more}
    return ramet.run(Descent(), SPACE, pbt(synchronous=True), mode="max", store=store, **settings)


@pytest.mark.slow
def test_both_hold_the_run_that_files_hold_and_know_each_other(
    s3: Server, url: str, databases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = (f"{databases}?schema={name}" for name in ("first", "second"))
    there, here = train(ramet.Storage(first, blobs=url)), train(tmp_path / "runs.db")

    assert canonical(there.events) == canonical(here.events)
    # The database remembers the URL.
    assert isinstance(history.load(first).blobs, ObjectBlobs)
    assert (history.load(first).best.load()["w"] == here.best.load()["w"]).all()
    with pytest.raises(StoreError, match="has checkpoints of another run"):
        train(ramet.Storage(second, blobs=url))
