"""Object storage keeps the promises of all blobs, whichever server it is on."""

import secrets
from pathlib import Path

import pytest

pytest.importorskip("obstore", reason="needs obstore: pip install 'ramet[cloud]'")

from ramet.blobs import Blobs, ObjectBlobs
from ramet.testing.blobs import BlobsContract
from tests.cloud.servers import BUCKET, AzureServer, Server


class OnAServer(BlobsContract):
    scheme = "s3"

    @pytest.fixture
    def server(self) -> Server:
        raise NotImplementedError

    @pytest.fixture(params=["cached", "uncached"])
    def blobs(
        self,
        server: Server,
        tmp_path: Path,
        request: pytest.FixtureRequest,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Blobs:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        return ObjectBlobs(
            f"{self.scheme}://{BUCKET}/{secrets.token_hex(8)}",
            cache=tmp_path / "cache",
            cache_bytes=1 << 20 if request.param == "cached" else 0,
        )


class TestMoto(OnAServer):
    @pytest.fixture
    def server(self, moto: Server) -> Server:
        return moto


class TestSeaweedFS(OnAServer):
    @pytest.fixture
    def server(self, seaweed: Server) -> Server:
        return seaweed


class TestAzurite(OnAServer):
    scheme = "az"

    @pytest.fixture
    def server(self, azurite: AzureServer) -> Server:
        return azurite
