"""What shells offer after the script of `ramet completion`: each is started, and asked."""

import os
import select
import subprocess
from pathlib import Path

import pytest

from tests.cli import conftest
from tests.cli.shell import EXECUTABLE, PATIENCE_S, ramet
from tests.frameworks import program

pty = pytest.importorskip("pty", reason="needs a terminal as Unix has them")
pytestmark = pytest.mark.slow

# A word that is begun, and what a shell may make of it.
OFFERED = [
    ("ramet status --wat", {"--watch"}),
    ("ramet status runs.d", {"runs.db", "runs.db-checkpoints/"}),
    ("ramet status runs.db qu", {"quick"}),
]
# What asks bash as it asks itself when Tab is pressed.
ASK_BASH = """
source ./script
COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_ramet_completion ramet
printf '%s\\n' "${COMPREPLY[@]}"
"""
# What fish describes stands behind a tab.
ASK_FISH = 'source ./script; complete --do-complete "$argv[1]" | string split --fields 1 \\t; true'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run in the default store."""
    folder = tmp_path_factory.mktemp("folder")
    conftest.begin(folder / "runs.db", "quick")
    return folder


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """Variables with which a shell finds the command, and nothing of its user's."""
    path = f"{EXECUTABLE.parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def offered(folder: Path, environment: dict[str, str], *command: str) -> set[str]:
    """Call a shell; return the lines that it prints."""
    said = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert said.stderr == ""
    return set(said.stdout.split())


@pytest.mark.parametrize(("typed", "there"), OFFERED)
def test_bash_offers_what_a_word_may_become(
    folder: Path, environment: dict[str, str], typed: str, there: set[str]
) -> None:
    (folder / "script").write_text(ramet("completion", "bash").stdout)
    shell = program("bash")
    assert offered(folder, environment, shell, "--norc", "-c", ASK_BASH, "bash", typed) == there


@pytest.mark.parametrize(("typed", "there"), OFFERED)
def test_fish_offers_what_a_word_may_become(
    folder: Path, environment: dict[str, str], typed: str, there: set[str]
) -> None:
    (folder / "script").write_text(ramet("completion", "fish").stdout)
    shell = program("fish")
    assert offered(folder, environment, shell, "-c", ASK_FISH, typed) == there


@pytest.mark.parametrize(("typed", "there"), OFFERED)
def test_zsh_completes_a_word_as_far_as_it_is_sure(
    folder: Path, environment: dict[str, str], typed: str, there: set[str]
) -> None:
    (folder / "script").write_text(ramet("completion", "zsh").stdout)
    shell = program("zsh")
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [shell, "-f", "-i"], cwd=folder, env=environment, stdin=inside, stdout=inside, stderr=inside
    )
    os.close(inside)
    try:
        # The quotes keep what is typed apart from the prompt that it leads to.
        answer(
            terminal, "autoload -U compinit; compinit -u; source ./script; PS1=rea''dy\n", "ready"
        )
        before, _, _ = typed.rpartition(" ")
        answer(terminal, f"{typed}\t", f"{before} {min(there, key=len)}")
    finally:
        os.close(terminal)
        process.kill()
        process.wait()


def answer(terminal: int, typed: str, awaited: str) -> None:
    """Type something, and wait until the terminal shows something."""
    os.write(terminal, typed.encode())
    shown = ""
    while awaited not in shown:
        assert select.select([terminal], [], [], PATIENCE_S)[0], shown
        shown += os.read(terminal, 4096).decode(errors="replace")
