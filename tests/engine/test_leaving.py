"""Worker processes whose work is over: they end, whatever the user's code left running."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.scripts import findings_in, finished, ran, started

pytestmark = pytest.mark.slow

SCRIPT = """\
import atexit, ctypes, os, queue, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import ramet
from ramet.engine.processes import leaving
from tests.engine.loops import SPACE, Descent, pbt

leaving.THREADS_S = leaving.HANDLERS_S = {limit}
waits_for_ever = threading.Event()

def train(session, reports=True):
    task, state = Descent(), Descent().init(session.rng)
    for turn in session.turns(state):
        state.update(task.step(state, turn.hparams, turn.steps, turn.rng))
        if reports:
            turn.report(task.evaluate(state))

def go(function):
    ramet.run(function, SPACE, pbt(population=5), steps=8, mode="max", seed=0, store="runs.db",
              workers={workers})
    print("over")
"""

PREFETCHES = """
def prefetching(member):
    batches = queue.Queue(maxsize=1)
    def produce():
        while True:
            batches.put(1)
    threading.Thread(target=produce, name="prefetch").start()
    train(member, reports={reports})

go(prefetching)
"""


def written(tmp_path: Path, text: str, *, limit_s: float = 0.2, workers: int = 1) -> Path:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(limit=limit_s, workers=workers) + text)
    return script


def test_a_run_that_is_over_returns_whatever_thread_training_left(tmp_path: Path) -> None:
    script = written(tmp_path, PREFETCHES.format(reports=True))
    code, out, err = finished(started(script))
    assert code == 0, err
    assert out.splitlines() == ["over"]
    assert "training must end the threads that it starts, but 'prefetch' (at " in err
    assert f"{script}:" in err
    assert findings_in(tmp_path / "runs.db") == []


def test_a_loop_that_forgot_to_report_is_named_whatever_thread_it_left(tmp_path: Path) -> None:
    script = written(tmp_path, PREFETCHES.format(reports=False))
    code, out, err = finished(started(script))
    assert (code, out) == (1, "")
    said, where = err.splitlines()[-2:]
    assert "MissingScore" in said
    assert where.startswith(f"It was raised at {script}:")


def test_threads_that_end_by_themselves_are_waited_for(tmp_path: Path) -> None:
    text = """
def write_late(member):
    def late():
        threading.Event().wait(0.2)
        Path(f"late-{os.getpid()}").touch()
    threading.Thread(target=late).start()
    train(member)

go(write_late)
"""
    _, _, err = finished(started(written(tmp_path, text, limit_s=60.0)))
    assert len(list(tmp_path.glob("late-*"))) >= 1
    assert "must end the threads" not in err


def test_threads_of_a_pool_that_was_not_shut_down_are_not_waited_for_long(tmp_path: Path) -> None:
    text = """
pool = ThreadPoolExecutor(2)
def pooling(member):
    pool.submit(int).result()
    train(member)

go(pooling)
"""
    _, out, err = finished(started(written(tmp_path, text, limit_s=1_000.0)))
    assert out.splitlines() == ["over"]
    assert "must end the threads" not in err


def test_an_exit_handler_that_does_not_return_is_named_and_no_other_begins(tmp_path: Path) -> None:
    text = """
atexit.register(lambda: Path(f"first-{os.getpid()}").touch())
def hangs():
    worker = "ramet.engine.processes.child" in sys.modules
    if worker and threading.current_thread().name == "MainThread":
        Path(f"hangs-{os.getpid()}").touch()
        while True:
            try:
                waits_for_ever.wait()
            except Exception:
                pass
if __name__ == "__mp_main__":
    atexit.register(hangs)
go(train)
"""
    _, out, err = finished(started(written(tmp_path, text, workers=2)))
    assert out.splitlines() == ["over"]
    assert len(list(tmp_path.glob("hangs-*"))) == 2
    # The parent's.
    assert len(list(tmp_path.glob("first-*"))) == 1
    assert "must end within 0.2 s together, but 'hangs' (at " in err
    assert f"{tmp_path / 'train.py'}:" in err
    assert "Traceback" not in err
    assert "_Enough" not in err


def test_exit_handlers_have_one_limit_together(tmp_path: Path) -> None:
    text = """
def hangs(number):
    Path(f"hangs-{os.getpid()}-{number}").touch()
    waits_for_ever.wait()
if __name__ == "__mp_main__":
    for number in range(5):
        atexit.register(hangs, number)
go(train)
"""
    code, _, err = finished(started(written(tmp_path, text)))
    assert code == 0, err
    assert len(list(tmp_path.glob("hangs-*"))) == 1
    assert err.count("still ran") == 1


def test_processes_that_never_end_are_named(tmp_path: Path) -> None:
    text = """
import multiprocessing
def lasts():
    Path(f"lasts-{os.getpid()}").touch()
    os.read(multiprocessing.parent_process().sentinel, 1)

def forking(member):
    context = multiprocessing.get_context("fork")
    context.Process(target=lasts, name="lasting").start()
    train(member)

go(forking)
"""
    code, out, err = finished(started(written(tmp_path, text)))
    assert (code, out) == (0, "over\n"), err
    assert "but '_exit_function' (at " in err
    assert "It waits for 'lasting' (process " in err
    assert "_Enough" not in err


def test_what_libraries_in_c_print_is_shown_to_the_last_line(tmp_path: Path) -> None:
    text = """
def loud(member):
    ctypes.CDLL(None).printf(b"from C\\n")
    train(member)

go(loud)
"""
    assert "from C" in ran(written(tmp_path, text), PYTHONUNBUFFERED="")


def test_a_process_that_training_forks_ends_on_sigterm_as_in_any_program(tmp_path: Path) -> None:
    text = """
def forking(member):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    child = os.fork()
    if child == 0:
        ours = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        blocked = signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        os._exit(ours or blocked)
    assert os.waitpid(child, 0)[1] == 0, "our handler went along"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    train(member)

go(forking)
"""
    ran(written(tmp_path, text))


def test_an_exit_handler_that_catches_everything_is_named_once_and_ended(tmp_path: Path) -> None:
    text = """
def stubborn():
    for _ in range(3):
        try:
            waits_for_ever.wait()
        except BaseException:
            pass
if __name__ == "__mp_main__":
    leaving.AGAIN_S = 0.1
    atexit.register(stubborn)
go(train)
"""
    code, out, err = finished(started(written(tmp_path, text)))
    assert (code, out) == (0, "over\n"), err
    assert err.count("still ran") == 1
    # Not by force, which shows where all threads are.
    assert "Timeout" not in err


def test_an_exit_handler_that_holds_the_lock_of_python_is_ended_by_force(tmp_path: Path) -> None:
    text = """
if __name__ == "__mp_main__":
    leaving.MARGIN_S = 0.2
    # Locked twice, it is waited for for ever; no signal ends that.
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        atexit.register(ctypes.PyDLL(None).pthread_mutex_lock, mutex)
go(train)
"""
    _, out, err = finished(started(written(tmp_path, text)))
    assert out == "over\n"
    assert "Timeout" in err


def test_what_open_files_hold_back_is_written_out(tmp_path: Path) -> None:
    text = """
def logs(session):
    sys.log = open(f"log-{os.getpid()}", "w")
    sys.log.write("to the last line")
    train(session)

go(logs)
"""
    ran(written(tmp_path, text))
    logs = list(tmp_path.glob("log-*"))
    assert len(logs) >= 1
    assert {log.read_text() for log in logs} == {"to the last line"}


def test_a_signal_to_end_cuts_no_exit_handler_short(tmp_path: Path) -> None:
    text = """
def last():
    os.kill(os.getpid(), signal.SIGTERM)
    Path(f"last-{os.getpid()}").touch()
if __name__ == "__mp_main__":
    atexit.register(last)
go(train)
"""
    _, _, err = finished(started(written(tmp_path, text)))
    assert len(list(tmp_path.glob("last-*"))) == 1, err


LEAVES_IN_A_THREAD = """
import atexit, threading
from ramet.engine.processes.leaving import leave

atexit.register(print, "the exit handlers ran")
threading.Thread(target=threading.Event().wait, name="goes on for ever").start()
leaves = threading.Thread(target=leave, args=(7,))
leaves.start()
leaves.join()
print("the process goes on")
"""


def test_a_thread_ends_the_process_without_waiting_for_others() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVES_IN_A_THREAD],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "the exit handlers ran\n", "")
