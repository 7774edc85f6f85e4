"""Servers of object storage, started once for all tests of a process."""

import secrets
from collections.abc import Iterator

import pytest

from tests.cloud import servers
from tests.cloud.servers import BUCKET, AzureServer, Server


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    with servers.moto() as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzureServer]:
    with servers.azurite() as server:
        yield server


@pytest.fixture
def s3(moto: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server, with what reaches it in the environment."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    return moto


@pytest.fixture
def url() -> str:
    """A prefix that no other test uses."""
    return f"s3://{BUCKET}/{secrets.token_hex(8)}"
