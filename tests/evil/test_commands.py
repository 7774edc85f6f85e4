"""Whatever is in a store, each command that looks at it gives a right answer or a clear error."""

import contextlib
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from benchmarks.fuzz.forging import forge
from ramet.cli import screen
from tests.cli.conftest import begin
from tests.cli.shell import EXECUTABLE, PATIENCE_S, ramet
from tests.evil.stores import IN_THE_LOG, SHOWN, Change, many_births

LOOKS: dict[str, list[str]] = {
    "status": [],
    "status --json": ["--json"],
    "runs": [],
    "runs --json": ["--json"],
    "log": [],
    "log --json": ["--json"],
    "doctor": [],
    "doctor --json": ["--json"],
    "export": [],
    "export turns": ["--format", "jsonl"],
    "export scores": ["--table", "scores", "--format", "jsonl"],
    "export members": ["--table", "members"],
    "lineage": [],
    "schedule": ["--python"],
    "prune --dry-run": ["--dry-run"],
    "prune": [],
}
# What a terminal acts on: control characters but tabs and line ends, and marks of direction.
ACTS = {*map(chr, range(32)), *map(chr, range(127, 160)), *"\u202a\u202b\u202c\u202d\u202e"} - {
    "\t",
    "\n",
}


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    begin(folder / "a.db", "a")
    with contextlib.closing(sqlite3.connect(folder / "a.db")) as store:
        store.execute("pragma journal_mode = delete")
    return folder


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tables printed as on a terminal; a pipe gets the text as it is."""
    monkeypatch.setattr(screen, "on_terminal", lambda: True)


def made(change: Change, sound: Path, folder: Path) -> Path:
    """Return a store that was changed, with checkpoints beside it."""
    shutil.copytree(sound, folder, dirs_exist_ok=True)
    with contextlib.closing(sqlite3.connect(folder / "a.db")) as store, store:
        change(store)
        forge(store)
    return folder / "a.db"


def seen(store: Path, look: str) -> tuple[int, str]:
    """Call a command; return its exit code and all that it printed."""
    command, *_ = look.split()
    done = ramet(command, store, *LOOKS[look])
    assert done.exception is None or isinstance(done.exception, SystemExit), (look, done.exception)
    assert not ACTS & set(done.output), (look, done.output)
    assert len(done.output) < 200_000 or "--json" in look, look
    return done.exit_code, done.output


def checkpoints(store: Path) -> int:
    return sum(path.is_file() for path in store.parent.rglob("*.safetensors"))


@pytest.mark.parametrize("case", IN_THE_LOG)
def test_what_no_run_can_have_written_is_refused_and_nothing_is_deleted(
    case: str, sound: Path, tmp_path: Path
) -> None:
    store = made(IN_THE_LOG[case], sound, tmp_path)
    before = checkpoints(store)
    codes = {look: seen(store, look) for look in LOOKS}
    assert codes["doctor"][0] == 1
    assert {code for code, _ in codes.values()} == {1}
    assert checkpoints(store) == before
    _, said = codes["status"]
    assert said.startswith("ramet: ")
    assert len(said) < 2_000


@pytest.mark.parametrize("case", SHOWN)
def test_what_is_strange_is_shown_as_it_is(case: str, sound: Path, tmp_path: Path) -> None:
    store = made(SHOWN[case], sound, tmp_path)
    for look in LOOKS:
        code, said = seen(store, look)
        assert code == 0 or look.startswith(("doctor", "lineage", "schedule")), (look, said)


@pytest.mark.slow
@pytest.mark.parametrize("case", SHOWN)
def test_what_is_strange_is_drawn(case: str, sound: Path, tmp_path: Path) -> None:
    store = made(SHOWN[case], sound, tmp_path)
    page, picture = tmp_path / "r.html", tmp_path / "p.png"
    drawn = [ramet("report", store, "-o", page), ramet("plot", store, "tree", "-o", picture)]
    for done in drawn:
        assert done.exit_code == 0, (done.exception, done.output)
        assert not ACTS & set(done.output)
    assert not ACTS & set(page.read_text("utf-8"))
    assert "<script>alert" not in page.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["name full of escapes", "a hundred thousand births"])
def test_it_takes_seconds_and_little_memory(case: str, sound: Path, tmp_path: Path) -> None:
    store = made(
        (SHOWN | {"a hundred thousand births": many_births(100_000)})[case], sound, tmp_path
    )
    limited = f"ulimit -v 1500000; exec {EXECUTABLE} status {store}"
    shell = ["/bin/sh", "-c", limited]
    done = subprocess.run(shell, check=False, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == (0 if case in SHOWN else 1), done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
