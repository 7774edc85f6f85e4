"""Runs with their checkpoints in object storage: they are what runs with a folder are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("obstore", reason="needs obstore: pip install 'ramet[cloud]'")

import ramet
from ramet import history
from ramet.blobs import DirectoryBlobs, ObjectBlobs
from ramet.errors import CheckpointMissing, StoreError
from ramet.events import canonical
from tests.cloud import proxy
from tests.cloud.servers import ACCESS_KEY, BUCKET, SECRET, Server, boto
from tests.engine.loops import SPACE, Descent, pbt


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def train(storage: object, **more: object) -> ramet.Result:
    settings = {"steps": 24, "seed": 3, "name": "lm", **more}
    return ramet.run(Descent(), SPACE, pbt(synchronous=True), mode="max", store=storage, **settings)


def cli(*arguments: object) -> str:
    command = [sys.executable, "-m", "ramet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(server: Server, url: str) -> list[str]:
    prefix = url.removeprefix(f"s3://{BUCKET}/") + "/"
    found = boto(server).list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return [file["Key"].removeprefix(prefix) for file in found]


def test_a_run_is_the_same_in_object_storage_as_in_a_folder(
    s3: Server, url: str, file: Path, tmp_path: Path
) -> None:
    there = train(ramet.Storage(file, blobs=url))
    here = train(tmp_path / "others.db")

    assert canonical(there.events) == canonical(here.events)
    assert (there.best.load()["w"] == here.best.load()["w"]).all()
    assert {name.split("/")[0] for name in objects(s3, url)} == {"lm"}
    assert not file.with_name("runs.db-checkpoints").exists()


@pytest.mark.slow
def test_a_run_ends_the_same_however_its_storage_fails(
    s3: Server, url: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy.proxy(s3) as through:
        monkeypatch.setenv("AWS_ENDPOINT_URL", through.endpoint)
        through.fail_every(4, "503", "torn", "500", "hang up", "short")
        there = train(ramet.Storage(file, blobs=ObjectBlobs(url, cache_bytes=0, patience_s=30)))

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    here = train(tmp_path / "others.db")
    assert canonical(there.events) == canonical(here.events)
    assert cli("doctor", file) == f"{file}: 1 run, nothing wrong\n"


def test_a_run_that_was_cut_off_by_its_storage_goes_on(
    s3: Server, url: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = ObjectBlobs(url, cache_bytes=0, patience_s=0.2)
    with proxy.proxy(s3) as through:
        monkeypatch.setenv("AWS_ENDPOINT_URL", through.endpoint)
        through.fail = lambda method, path: "503" if len(through.seen) > 20 else None
        with pytest.raises(StoreError, match="HTTP status 503"):
            train(ramet.Storage(file, blobs=blobs))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)

    went_on, undisturbed = train(ramet.Storage(file, blobs=url)), train(tmp_path / "others.db")
    assert canonical(went_on.events) == canonical(undisturbed.events)


def test_commands_find_the_checkpoints_of_a_store_by_themselves(
    s3: Server, url: str, file: Path, tmp_path: Path
) -> None:
    result = train(ramet.Storage(file, blobs=url))

    assert (history.load(file).best.load()["w"] == result.best.load()["w"]).all()
    assert cli("doctor", file) == f"{file}: 1 run, nothing wrong\n"
    assert "nothing to prune" in cli("prune", file)
    assert "1 run" in cli("backup", file, tmp_path / "copy.db")
    cli("report", file, "-o", tmp_path / "report.html")
    assert "lm" in (tmp_path / "report.html").read_text()


def test_a_backup_has_the_checkpoints_in_a_folder(
    s3: Server, url: str, file: Path, tmp_path: Path
) -> None:
    result = train(ramet.Storage(file, blobs=url))
    history.backup(file, tmp_path / "copy.db")

    copy = history.load(tmp_path / "copy.db")
    assert isinstance(copy.blobs, DirectoryBlobs)
    assert (copy.best.load()["w"] == result.best.load()["w"]).all()


def test_a_schedule_is_replayed_from_a_run_in_object_storage(
    s3: Server, url: str, file: Path
) -> None:
    result = train(ramet.Storage(file, blobs=url))
    again = ramet.replay(
        Descent(), result.schedule(), store=ramet.Storage(file, blobs=url), name="again", mode="max"
    )

    assert any(name.startswith("again/") for name in objects(s3, url))
    assert again is not None


def test_what_is_no_longer_needed_is_pruned_there(s3: Server, url: str, file: Path) -> None:
    train(ramet.Storage(file, blobs=url, keep="best"))

    assert len([name for name in objects(s3, url) if name.endswith(".safetensors")]) == 1


LOOP = """
import os, sys
from pathlib import Path
import ramet
from ramet.blobs import ObjectBlobs
from tests.engine.loops import SPACE, Descent, pbt

class Watching(Descent):
    def init(self, rng):
        shown = b"".join(
            file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()
        )
        assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in shown
        return super().init(rng)

if __name__ == "__main__":
    ramet.run(Watching(), SPACE, pbt(synchronous=True), steps=24, seed=3, mode="max", name="lm",
              store=ramet.Storage(sys.argv[1], blobs=sys.argv[2]), workers=2)
"""


@pytest.mark.slow
def test_worker_processes_share_it_and_get_credentials_by_their_environment(
    s3: Server, url: str, file: Path, tmp_path: Path
) -> None:
    script = tmp_path / "loop.py"
    script.write_text(LOOP)
    done = subprocess.run(
        [sys.executable, script, file, url],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert canonical(history.load(file).events) == canonical(train(tmp_path / "others.db").events)
    written = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert all(part.encode() not in written for part in (SECRET, ACCESS_KEY))


def test_another_store_with_a_run_of_the_same_name_is_refused(
    s3: Server, url: str, file: Path, tmp_path: Path
) -> None:
    train(ramet.Storage(file, blobs=url))
    before = objects(s3, url)

    with pytest.raises(StoreError, match=f"{url}/lm has checkpoints of another run that is also"):
        train(ramet.Storage(tmp_path / "others.db", blobs=url))
    assert objects(s3, url) == before
    train(ramet.Storage(tmp_path / "others.db"), name="another")


def test_a_store_that_was_copied_or_moved_still_belongs(
    s3: Server, url: str, file: Path, tmp_path: Path
) -> None:
    train(ramet.Storage(file, blobs=url))
    file.rename(tmp_path / "moved.db")

    result = train(ramet.Storage(tmp_path / "moved.db", blobs=url))
    assert result.population.done


def test_a_run_that_overwrites_another_takes_its_place_there(
    s3: Server, url: str, file: Path
) -> None:
    storage = ramet.Storage(file, blobs=url)
    train(storage)
    again = train(storage, existing="overwrite", seed=4)

    assert train(storage, seed=4).best.score == again.best.score


def test_checkpoints_from_before_there_were_owners_are_accepted(
    s3: Server, url: str, file: Path
) -> None:
    train(ramet.Storage(file, blobs=url))
    key = f"{url.removeprefix(f's3://{BUCKET}/')}/lm/owner.json"
    boto(s3).delete_object(Bucket=BUCKET, Key=key)

    train(ramet.Storage(file, blobs=url))
    assert "lm/owner.json" in objects(s3, url)


def test_a_store_goes_on_with_the_place_it_remembers(s3: Server, url: str, file: Path) -> None:
    train(ramet.Storage(file, blobs=url))

    assert repr(train(file).blobs) == f"ObjectBlobs({url!r})"
    with pytest.raises(StoreError, match=r"runs.db-blobs says that those of runs.db are in"):
        train(ramet.Storage(file, blobs=f"{url}/elsewhere"))


def test_an_emptied_prefix_stops_the_run_and_changes_nothing(
    s3: Server, url: str, file: Path
) -> None:
    train(ramet.Storage(file, blobs=url))
    blobs = ObjectBlobs(url, cache_bytes=0)
    blobs.delete("lm", blobs.sizes("lm"))
    before = len(history.load(file).log)

    with pytest.raises(CheckpointMissing, match="there is none under this prefix"):
        train(file, steps=48, existing="extend")
    assert len(history.load(file).log) <= before + 1


def test_a_folder_by_its_url_is_what_directory_blobs_are(file: Path, tmp_path: Path) -> None:
    result = train(ramet.Storage(file, blobs=f"file://{tmp_path}/kept"))

    assert repr(result.blobs) == repr(DirectoryBlobs(tmp_path / "kept"))
    assert (tmp_path / "kept" / "lm").is_dir()


def test_a_typo_in_a_url_is_refused_before_there_is_a_store(file: Path) -> None:
    with pytest.raises(StoreError, match="did you mean 's3://'"):
        ramet.Storage(file, blobs="s4://bucket/runs")
    assert not file.exists()
