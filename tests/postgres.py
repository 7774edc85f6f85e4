"""A PostgreSQL server of the tests' own, on loopback, that they may stop and start."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

# Where Debian and others install the programs of a server, the newest last.
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
# Who runs a server where the tests run as root, which a server refuses.
USERS = ("postgres", "nobody")
PASSWORD = "s3cret/of:tests"  # noqa: S105 - of a server that lives as long as a test
SETTINGS = {"max_connections": "100", "shared_buffers": "32MB", "lc_messages": "C"}
# What a loss of power would leave does not matter to tests, but speed does.
UNSAFE = {"fsync": "off", "full_page_writes": "off"}


def programs() -> Path:
    """Return the folder of initdb and pg_ctl, or skip what needs them; in CI they must be there."""
    found = [
        path for pattern in FOLDERS for path in sorted(Path("/").glob(f"{pattern[1:]}/initdb"))
    ]
    if found:
        return found[-1].parent
    if at := shutil.which("initdb"):
        return Path(at).resolve().parent
    reason = "needs a PostgreSQL server: apt-get install postgresql"
    if os.environ.get("CI"):
        raise FileNotFoundError(reason)
    pytest.skip(reason)


class Postgres:
    """A server, in a folder of its own.

    Args:
        folder: The folder, which the server's user can enter.
        port: The port on loopback.
        safe: Whether what is committed survives a loss of power.
        settings: Further settings of the server.
    """

    def __init__(self, folder: Path, port: int, *, safe: bool = False, **settings: str) -> None:
        self.folder, self.port = folder, port
        self._settings = {**SETTINGS, **({} if safe else UNSAFE), **settings}
        self._programs = programs()
        self._data = folder / "data"
        self._log = folder / "log"
        # None is this one.
        self.user, self._group = _user_for(folder)

    @property
    def url(self) -> str:
        """The URL of the database that every server has."""
        return self.url_of(self.port)

    def url_of(self, port: int, *, user: str = "tests", password: str = PASSWORD) -> str:
        """Return a URL of the same database through another port, or as another user."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{port}/postgres"

    def create(self) -> None:
        """Create the files of the server."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if self.user is not None:
            shutil.chown(secret, self.user)
        self._call("initdb", "-D", self._data, "-U", "tests", "-A", "scram-sha-256", "-E", "UTF8",
                   "--no-locale", "--no-sync", f"--pwfile={secret}")  # fmt: skip

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        chosen = {**self._settings, "port": self.port, "listen_addresses": "127.0.0.1",
                  "unix_socket_directories": self.folder}  # fmt: skip
        settings = " ".join(f"-c {name}={value}" for name, value in chosen.items())
        self._call("pg_ctl", "-D", self._data, "-l", self._log, "-o", settings, "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; ``immediate`` is like a crash."""
        self._call("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def restart(self) -> None:
        """Let the server crash, and start it again."""
        self.stop()
        try:
            self.start()
        except RuntimeError:
            # Now and then a server ends right after a crash before it has logged anything.
            self.start()

    def log(self) -> str:
        """Return what the server has logged."""
        return self._log.read_text()

    def _call(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [self._programs / program, *map(str, arguments)],
            # Its own session: no signal that tests send to their group reaches the server.
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            user=self.user,
            group=self._group,
            cwd=self.folder,
            check=False,
        )
        if done.returncode:
            said = self._log.read_text()[-2_000:] if self._log.exists() else done.stderr
            raise RuntimeError(f"{program} failed: {said!r}")


@contextmanager
def server(*, safe: bool = False, **settings: str) -> Iterator[Postgres]:
    """Run a server as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="ramet-postgres-"))
    try:
        made = Postgres(folder, free_port(), safe=safe, **settings)
        made.create()
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a port of loopback that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user_for(folder: Path) -> tuple[str | None, int | None]:
    """Return the user and the group that run the server, and give them the folder; None is ours."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None, None
    import pwd  # noqa: PLC0415 - Windows has none

    for name in USERS:
        try:
            group = pwd.getpwnam(name).pw_gid
        except KeyError:
            continue
        shutil.chown(folder, name)
        return name, group
    raise RuntimeError(f"a server needs a user other than root, such as one of {USERS}")
