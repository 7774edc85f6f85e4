"""Uploads in parts that were cut off are aborted, and those at work are not."""

import pytest

pytest.importorskip("obstore", reason="needs obstore: pip install 'ramet[cloud]'")

from ramet.blobs import ObjectBlobs, uploads
from ramet.testing.blobs import keep
from tests.cloud.servers import BUCKET, Server, boto


def begin(server: Server, url: str, run: str) -> str:
    """Begin an upload as a writer does that is killed before its end."""
    key = f"{url.removeprefix(f's3://{BUCKET}/')}/{run}/state.safetensors"
    return boto(server).create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]


def unfinished(server: Server) -> set[str]:
    listed = boto(server).list_multipart_uploads(Bucket=BUCKET)
    return {upload["UploadId"] for upload in listed.get("Uploads", [])}


@pytest.fixture(params=["moto", "seaweed"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Server:
    found: Server = request.getfixturevalue(request.param)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


def test_an_upload_that_began_long_ago_is_aborted_in_its_run_alone(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, others = begin(server, url, "lm"), begin(server, url, "lm-2")
    blobs = ObjectBlobs(url, cache_bytes=0)
    key = keep(blobs, b"abc")

    monkeypatch.setattr(uploads, "ABANDONED_S", -60.0)
    blobs.delete_leftovers("lm")
    left = unfinished(server)

    assert mine not in left
    assert others in left
    assert blobs.sizes("lm") == {key: 3}


def test_an_upload_that_may_be_at_work_stays(seaweed: Server, url: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in seaweed.environment.items():
            patch.setenv(name, value)
        mine = begin(seaweed, url, "lm")
        ObjectBlobs(url, cache_bytes=0).delete_leftovers("lm")

    assert mine in unfinished(seaweed)


def test_a_server_that_refuses_is_left_alone(
    s3: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    ObjectBlobs(url, cache_bytes=0).delete_leftovers("lm")
