"""Training scripts of well-known kinds, turned into populations, run as people run them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import ramet
from ramet.events import AnyEvent, canonical
from ramet.faults import VARIABLE
from tests.engine.scripts import (
    ROOT,
    ended,
    findings_in,
    result_in,
    seats_in,
    started,
    wait_for,
)
from tests.frameworks import framework

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes"),
]

ONE_PROGRAM = "ppo_jax as one program"
COMMANDS = {
    "pytorch_mnist": "pytorch_mnist.py --population 5 --epochs 6",
    "char_gpt": "char_gpt.py --population 5 --max-iters 60 --eval-interval 10 --n-embd 16",
    "ppo_pytorch": "ppo_pytorch.py --population 5 --num-updates 20 --updates-per-turn 2",
    "ppo_jax": "ppo_jax.py --population 5 --updates 24",
    ONE_PROGRAM: "ppo_jax.py --population 5 --updates 96",
}
NEEDS = {
    "pytorch_mnist": ["torch", "sklearn"],
    "char_gpt": ["torch"],
    "ppo_pytorch": ["torch", "gymnasium"],
    "ppo_jax": ["jax", "optax"],
}


@dataclass(frozen=True)
class Script:
    """A script with quick settings, and the log of a run that nothing disturbed."""

    label: str
    log: list[AnyEvent]

    @property
    def name(self) -> str:
        """What its run is called."""
        return self.label.split()[0]

    def command(self, store: Path, workers: int) -> tuple[Path, list[str]]:
        script, *settings = COMMANDS[self.label].split()
        processes = [] if self.label == ONE_PROGRAM else ["--workers", str(workers)]
        return ROOT / "examples" / script, [*settings, "--store", str(store), *processes]

    def run(self, store: Path, workers: int, *, crash_at: str = "", code: int = 0) -> str:
        """Run the script to its end; return what ramet had to say."""
        script, arguments = self.command(store, workers)
        done = subprocess.run(
            [sys.executable, script, *arguments],
            check=False,
            cwd=store.parent,
            env={**os.environ, VARIABLE: crash_at},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        return done.stderr


@pytest.fixture(scope="module", params=COMMANDS)
def script(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Script:
    plain = Script(request.param, [])
    for needed in NEEDS[plain.name]:
        framework(needed)
    store = tmp_path_factory.mktemp(plain.name) / "runs.db"
    plain.run(store, workers=0)
    return Script(request.param, canonical(result_in(store, plain.name).events))


@pytest.mark.parametrize(
    "script", [name for name in COMMANDS if name != ONE_PROGRAM], indirect=True
)
def test_a_script_killed_in_workers_goes_on_at_once_to_what_one_process_comes_to(
    script: Script, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    kill_in_a_turn(script, store)
    said = script.run(store, workers=2)
    assert_undisturbed(script, store, said)


@pytest.mark.parametrize("script", [ONE_PROGRAM], indirect=True)
def test_one_program_killed_before_the_last_turn_of_a_round_is_committed_goes_on_to_the_bit(
    script: Script, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    script.run(store, workers=0, crash_at="committed:9", code=-signal.SIGKILL)
    said = script.run(store, workers=0)
    assert_undisturbed(script, store, said)


def assert_undisturbed(script: Script, store: Path, said: str) -> None:
    """Compare a run that was gone on with and what ramet said of it with an undisturbed run."""
    result = result_in(store, script.name)
    assert canonical(result.events) == script.log
    assert len(ended(result)) == result.population.turns
    assert findings_in(store, script.name) == []
    # No member was held any more by a process that is dead, so there was nothing to wait for.
    assert "hold" not in said


def kill_in_a_turn(script: Script, store: Path) -> None:
    """Start a script, and kill it and all its processes at once while they train."""

    def have_ended(turns: int) -> bool:
        assert process.poll() is None, f"it ended by itself: {process.communicate()}"
        return store.exists() and len(turns_in(store, script.name)) >= turns

    def frozen_in_a_turn() -> bool:
        send(process.pid, signal.SIGSTOP)
        held = any(seat.worker for seat in seats_in(store, script.name))
        if not held:
            send(process.pid, signal.SIGCONT)
        return held

    path, arguments = script.command(store, workers=2)
    with started(path, *arguments) as process:
        try:
            # The first one takes long, with all that is imported and compiled for it.
            for turns in (1, 6):
                wait_for(partial(have_ended, turns))
            wait_for(frozen_in_a_turn)
        finally:
            send(process.pid, signal.SIGKILL)


def turns_in(store: Path, name: str) -> list[tuple[int, int]]:
    try:
        return ended(result_in(store, name))
    except ramet.RametError:  # There is no run yet.
        return []


def send(pid: int, signal_: signal.Signals) -> None:
    """Send a signal to a process and all that it started, each in a process group of its own."""
    # A parent first: it could start others in the place of those that are killed.
    for each in [pid, *below(pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal_)


def below(pid: int) -> Iterator[int]:
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            yield child
            yield from below(child)
