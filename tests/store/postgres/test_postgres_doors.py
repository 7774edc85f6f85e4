"""Wherever a store is named, the URL of a database will do; and its password is never shown."""

import logging
import os
import pickle
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import DirectoryBlobs
from ramet.errors import (
    NotAStore,
    RametError,
    StoreError,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnsupported,
)
from ramet.events import canonical
from ramet.store.postgres import refusals
from ramet.testing.store_steps import begin, claim, end_turn
from tests.cli.shell import QUICK, called
from tests.cli.shell import ramet as command
from tests.engine.loops import SPACE, descent_loop, pbt
from tests.engine.test_objectives import trained
from tests.frameworks import package
from tests.postgres import PASSWORD, Postgres, free_port

package("psycopg")
import psycopg

from ramet.store import PostgresStore
from ramet.store.postgres.address import parameters

SECRETS = (PASSWORD, "s3cret%2Fof%3Atests", "s3cret")


@pytest.fixture
def kept(url: str, tmp_path: Path) -> str:
    """Return a URL that says where the checkpoints are."""
    return f"{url}&blobs={tmp_path / 'kept'}"


def train(store: object, **settings: object) -> ramet.history.Result:
    return ramet.run(
        descent_loop, SPACE, pbt(synchronous=True), steps=12, mode="max", seed=0, store=store,
        **settings,
    )  # fmt: skip


def refused(call: Callable[[], object], kind: type[RametError]) -> str:
    """Return the text of an error, once it is seen that nothing of it shows the password."""
    with pytest.raises(kind) as caught:
        call()
    shown = "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in SECRETS if secret in shown]
    return str(caught.value)


def test_a_run_in_a_database_is_the_run_that_it_is_in_memory(kept: str) -> None:
    assert canonical(train(kept).events) == canonical(train(None).events)


def test_worker_processes_train_a_run_in_a_database(kept: str) -> None:
    result = train(kept, workers=2)
    assert canonical(result.events) == canonical(train(None).events)
    assert len({logged.worker for logged in result.log}) > 1


def test_a_run_in_a_database_is_gone_on_with_joined_and_loaded(kept: str, url: str) -> None:
    first = train(kept)
    assert train(kept, existing="extend").events[: len(first.events)] == first.events
    run = ramet.open(
        space=SPACE, strategy=pbt(synchronous=True), steps=24, mode="max", store=kept,
        existing="extend", seed=0,
    )  # fmt: skip
    turn = run.ask()
    assert turn is not None
    run.release(turn)
    assert ramet.join(descent_loop, url).population.done
    loaded = ramet.history.load(url)
    assert loaded.population.steps == 24
    assert loaded.best.load()["w"].shape == (3,)


def test_a_database_remembers_where_the_checkpoints_are(url: str, tmp_path: Path) -> None:
    message = refused(lambda: train(url), StoreError)
    assert "?blobs=/the/folder" in message
    train(ramet.Storage(url, blobs=DirectoryBlobs(tmp_path / "kept")))
    assert ramet.history.load(url).best.load()["seen"] > 0


def test_the_commands_take_the_url_of_a_database(kept: str, url: str, tmp_path: Path) -> None:
    begun = command("run", QUICK, "--store", kept)
    assert begun.exit_code == 0, begun.output
    shown = [
        command(*call)
        for call in (
            ("status", url),
            ("runs", url),
            ("doctor", url),
            ("prune", url, "--dry-run"),
            ("lineage", url),
            ("export", url),
            ("schedule", url),
            ("stop", url),
            ("report", url, "-o", tmp_path / "report.html"),
            ("worker", url, "quick", QUICK),
        )
    ]
    assert [done.exit_code for done in shown] == [0] * len(shown), [d.output for d in shown]
    report = (tmp_path / "report.html").read_text()
    assert not [secret for secret in SECRETS if secret in report]
    assert not [done for done in shown for secret in SECRETS if secret in done.output]
    backup = command("backup", url, tmp_path / "copy.db")
    assert backup.exit_code
    assert "pg_dump" in backup.output


def test_the_password_is_in_no_repr_and_in_no_event(url: str, kept: str) -> None:
    store = PostgresStore(url)
    result = train(kept)
    shown = [
        repr(store),
        str(store),
        repr(store.__reduce__()),
        repr(vars(store)),
        repr(result),
        repr(result.store),
        repr(result.log),
    ]
    assert not [text for text in shown for secret in SECRETS if secret in text]


def test_a_store_leads_to_the_same_database_from_wherever_it_is_pickled_to(url: str) -> None:
    store = PostgresStore(url, durability="process", patience_s=5.0)
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert again.runs() == []
    assert pickle.dumps(again) == pickle.dumps(store)


def test_no_process_is_given_the_password_as_an_argument(
    kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    popen = subprocess.Popen.__init__

    def note(self: object, args: object, *more: object, **named: object) -> None:
        started.append(repr(args))
        popen(self, args, *more, **named)

    monkeypatch.setattr(subprocess.Popen, "__init__", note)
    train(kept, workers=2)
    lines = [
        path.read_bytes().decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    ]
    assert not [line for line in (*started, *lines) for secret in SECRETS if secret in line]


def test_a_wrong_password_is_refused_with_where_to_put_the_right_one(postgres: Postgres) -> None:
    url = postgres.url_of(postgres.port, password="s3cret")  # noqa: S106 - the wrong one
    message = refused(lambda: PostgresStore(url), StoreUnreachable)
    assert "password authentication failed" in message
    assert "~/.pgpass" in message


def test_a_password_may_come_from_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert PostgresStore(url.replace(":s3cret%2Fof%3Atests", "")).runs() == []


def test_a_missing_database_is_refused_with_how_to_create_it(postgres: Postgres) -> None:
    url = postgres.url.removesuffix("postgres") + "nowhere"
    assert "createdb" in refused(lambda: PostgresStore(url), StoreUnreachable)


def test_an_unknown_host_is_refused_with_its_name(postgres: Postgres) -> None:
    url = postgres.url.replace("127.0.0.1", "no-such-host.invalid")
    message = refused(lambda: PostgresStore(url), StoreUnreachable)
    assert "no-such-host.invalid" in message
    assert "spelled" in message


def test_a_server_that_is_not_there_is_refused_at_once(postgres: Postgres) -> None:
    url = postgres.url_of(free_port())
    assert "start the server" in refused(lambda: PostgresStore(url), StoreUnreachable)


@pytest.mark.parametrize(
    "slip", ["postgres:/", "postgresql//", "postgersql://", "mysql://", "https://"]
)
def test_a_slip_in_the_scheme_is_refused_with_an_example(url: str, slip: str) -> None:
    rest = url.removeprefix("postgresql://")
    message = refused(lambda: train(f"{slip}{rest}"), StoreError)
    assert "postgresql://user@host:5432/database" in message


def test_a_url_as_a_path_is_refused(url: str) -> None:
    assert "as text" in refused(lambda: train(Path(url)), StoreError)


@pytest.mark.parametrize("part", ["%zz", "a@b:c:"])
def test_a_password_that_breaks_the_url_is_not_quoted(postgres: Postgres, part: str) -> None:
    url = f"postgresql://tests:s3cret{part}@127.0.0.1:{postgres.port}/postgres"
    refused(lambda: PostgresStore(url), StoreError)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3#cret@host/runs",
        "postgresql://ann:s3/cret@host/runs",
        "postgresql://ann:3/s3cret@host/runs",
        "postgresql://ann:s3?cret@host/runs",
        "postgresql://ann:s3[cret]@host/runs",
        "postgresql://ann:[s3cret@host/runs",
        "postgresql://ann:a@s3cret@host/runs",
        "postgresql://ann:a@3/s3cret@host/runs",
        "postgresql://ann:s3cret/runs",
        "postgresql://host/runs?password=a#s3cret",
        "postgresql://host/runs?password=a&s3cret",
    ],
)
def test_a_password_whose_end_is_unclear_is_refused(url: str) -> None:
    message = refused(lambda: PostgresStore(url, connect=False), StoreError)
    assert "write special characters of the password as %XX" in message
    assert not [piece for piece in ("s3", "cret") if piece in message]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///runs?host=/tmp&blobs=/kept/by@ann",
        "postgresql://ann@/runs",
        "postgresql://ann:s3%23cret@one:1,[::1]:2,%2Ftmp/runs?blobs=/kept%40home",
    ],
)
def test_a_url_whose_password_ends_clearly_is_read(url: str) -> None:
    store = PostgresStore(url, connect=False)
    assert store.address.has_secret == ("s3" in url)
    assert "cret" not in repr(store)


def test_a_setting_in_the_url_is_what_libpq_reads() -> None:
    store = PostgresStore("postgresql://host/runs?options=-c%20a%3Db+c", connect=False)
    assert parameters(store.address, {})["options"] == "-c a=b+c"


def test_an_unknown_setting_in_the_url_is_named(postgres: Postgres) -> None:
    message = refused(lambda: PostgresStore(f"{postgres.url}?shcema=team"), StoreError)
    assert "shcema" in message


def test_a_user_without_rights_is_refused_with_what_to_grant(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 's3cret'")
    url = postgres.url_of(postgres.port, user="guest", password="s3cret")  # noqa: S106 - a test's
    message = refused(lambda: PostgresStore(f"{url}?schema=guests"), StoreReadOnly)
    assert "GRANT CREATE ON DATABASE" in message


def test_a_store_that_is_only_read_must_exist(url: str) -> None:
    assert "no tables" in refused(lambda: PostgresStore(url, read_only=True), NotAStore)
    done = command("runs", f"{url}&blobs=kept")
    assert done.exit_code
    assert "no tables" in done.output


def test_a_store_that_is_refused_leaves_no_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, made = psycopg.connect, list[Any]()

    def note(*given: Any, **named: Any) -> Any:
        made.append(connect(*given, **named))
        return made[-1]

    monkeypatch.setattr(psycopg, "connect", note)
    with pytest.raises(NotAStore) as caught:
        PostgresStore(url, read_only=True)
    # The traceback keeps the store.
    assert caught.tb is not None
    assert [connection.closed for connection in made] == [True]


def test_an_old_server_is_refused_with_the_version_that_is_needed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "OLDEST", 990_000)
    message = refused(lambda: PostgresStore(url), StoreUnsupported)
    assert "needs PostgreSQL 99 or later" in message


def test_tables_of_a_later_version_are_refused(url: str, postgres: Postgres) -> None:
    schema = PostgresStore(url).address.schema
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", [schema])
        connection.execute("UPDATE store SET version = 99")
    assert "upgrade ramet" in refused(lambda: PostgresStore(url), StoreError)


def test_tables_of_the_first_version_are_migrated(url: str, postgres: Postgres) -> None:
    store = PostgresStore(url)
    begin(store)
    end_turn(store, claim(store))
    before = store.events("lm")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", [store.address.schema])
        connection.execute("ALTER TABLE store DROP COLUMN token")
        connection.execute("UPDATE store SET version = 1")
        later = PostgresStore(url)
        assert later.events("lm") == before
        end_turn(later, claim(later))
        [version] = connection.execute("SELECT version FROM store").fetchall()
    assert version == (3,)
    assert len(later.events("lm")) == 3


def test_where_the_driver_is_absent_the_error_says_how_to_install_it(
    tmp_path: Path, url: str
) -> None:
    script = f"import sys; sys.modules['psycopg'] = None; import ramet; ramet.history.load({url!r})"
    done = subprocess.run(
        [os.sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "pip install 'ramet[postgres]'" in done.stderr


def test_a_command_in_its_own_process_shows_no_traceback(postgres: Postgres) -> None:
    url = postgres.url_of(postgres.port, password="s3cret")  # noqa: S106 - the wrong one
    code, out, err = called("status", url)
    assert code == 75
    assert "Traceback" not in err
    assert "s3cret" not in out + err
    assert "the list of processes (ps) shows the password" in err
    without = url.replace(":s3cret", "")
    assert "password of" not in called("status", without)[2]


def test_what_is_logged_has_no_password(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnreachable):
        PostgresStore(postgres.url_of(free_port()))
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_a_run_of_several_objectives_has_the_same_front_as_in_memory(kept: str) -> None:
    stored, alone = trained(steps=60, store=kept), trained(steps=60)
    assert canonical(stored.events) == canonical(alone.events)
    assert ramet.history.load(kept).front() == alone.front()
    assert all(each.load() for each in stored.front())
