"""Which process is gone: the decision, and what the machine says of real ones."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramet import process
from ramet.process import Process, Stat, SystemProcesses, is_gone

HERE = Process("boot", "pid:[1],time:[2]", 7, 100)
HOLDER = HERE._replace(pid=9, started=200)
RUNNING = Stat(state="R", threads=4, started=200)

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes")


@pytest.mark.parametrize("state", ["R", "S", "D", "T", "t", "I"])
def test_a_process_that_is_there_is_not_gone(state: str) -> None:
    assert not is_gone(HOLDER, HERE, RUNNING._replace(state=state))


def test_a_process_whose_number_nothing_has_is_gone() -> None:
    assert is_gone(HOLDER, HERE, None)


def test_a_process_whose_number_another_has_is_gone() -> None:
    assert is_gone(HOLDER, HERE, RUNNING._replace(started=201))


def test_of_a_process_that_ended_only_its_entry_is_left() -> None:
    assert is_gone(HOLDER, HERE, Stat(state="Z", threads=1, started=200))


def test_a_process_outlives_its_first_thread() -> None:
    assert not is_gone(HOLDER, HERE, Stat(state="Z", threads=2, started=200))


@pytest.mark.parametrize("other", [{"boot": "another"}, {"namespaces": "pid:[3],time:[2]"}])
def test_what_is_not_seen_from_here_may_be_there(other: dict[str, str]) -> None:
    for found in (None, RUNNING, RUNNING._replace(started=201)):
        assert not is_gone(HOLDER._replace(**other), HERE, found)


def test_the_name_of_a_program_is_not_taken_for_its_state() -> None:
    line = "9 (a) Z 1 (b) T 1 9 9 0 -1 0 0 0 0 0 1 2 0 0 20 0 4 0 200 0 0"
    assert Stat.read(line) == Stat(state="T", threads=4, started=200)


def test_a_name_leads_back_to_its_process() -> None:
    assert Process.read(HOLDER.name) == HOLDER


@pytest.mark.parametrize("name", [None, "", "nonsense", "a b c d", "a b 1 2 3", "; "])
def test_what_is_no_name_says_nothing(name: str | None) -> None:
    assert not SystemProcesses().is_gone(name)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[str]"]:
    """Start a process that says its name, and then sleeps."""
    code = "from ramet.process import *; print(SystemProcesses().this(), flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def name_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: "subprocess.Popen[str]") -> None:
    """Wait for the end of a process, and leave its entry where it is."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


@linux
def test_a_killed_process_is_gone_with_or_without_its_entry(
    sleeper: "subprocess.Popen[str]",
) -> None:
    name = name_of(sleeper)
    assert not SystemProcesses().is_gone(name)
    sleeper.kill()
    ended(sleeper)
    assert SystemProcesses().is_gone(name)
    sleeper.wait()
    assert SystemProcesses().is_gone(name)


@linux
def test_a_stopped_process_is_not_gone(sleeper: "subprocess.Popen[str]") -> None:
    name = name_of(sleeper)
    sleeper.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
    assert not SystemProcesses().is_gone(name)


@linux
def test_a_watched_process_is_gone_when_its_watcher_is(
    sleeper: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_watcher", None)
    watcher = name_of(sleeper)
    dead = Process.read(watcher)._replace(started=1).name
    process.set_watcher(watcher)
    assert str(SystemProcesses().this()).endswith(f"; {watcher}")
    assert SystemProcesses().is_gone(dead)
    assert not SystemProcesses().is_gone(f"{dead}; {watcher}")
    sleeper.kill()
    sleeper.wait()
    assert SystemProcesses().is_gone(f"{dead}; {watcher}")


# Forks in a process of its own: one in which JAX was imported warns of any fork.
FORKS = """
import os
from ramet.process import Process, SystemProcesses

mine = SystemProcesses().this()
read, write = os.pipe()
if (child := os.fork()) == 0:
    os.write(write, str(SystemProcesses().this()).encode())
    os._exit(0)
os.waitpid(child, 0)
theirs = os.read(read, 1000).decode()
assert (Process.read(theirs).pid, SystemProcesses().this()) == (child, mine)
assert SystemProcesses().is_gone(theirs)
"""


@linux
def test_a_forked_process_has_a_name_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", FORKS], check=True)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Have what is known of this process read again, before and after."""
    process.forget()
    yield
    process.forget()


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize(
    ("own", "options", "told"),
    [
        (True, "rw,relatime", True),
        # That of another namespace, where this process has another number.
        (False, "rw,relatime", False),
        (True, "rw,hidepid=invisible", False),
    ],
)
@linux
def test_only_a_proc_that_shows_all_processes_is_believed(
    *, own: bool, options: str, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = os.getpid() if own else 1
    dead = Process.read(str(SystemProcesses().this()))._replace(pid=2**30).name
    process.forget()
    monkeypatch.setattr(process, "_PROC", tmp_path)
    (tmp_path / "self").symlink_to(str(number))
    (tmp_path / "mounts").write_text(f"proc {tmp_path} proc {options} 0 0\n")
    for pid in {number, os.getpid()}:
        (tmp_path / str(pid)).symlink_to(f"/proc/{os.getpid()}")
    assert (SystemProcesses().this() is not None) == told
    assert SystemProcesses().is_gone(dead) == told


@pytest.mark.usefixtures("forgetful")
def test_without_proc_no_process_is_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PROC", tmp_path)
    assert SystemProcesses().this() is None
    assert not SystemProcesses().is_gone(HOLDER.name)
