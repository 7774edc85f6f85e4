"""What a fork of a worker takes along of its handler of SIGTERM: nothing."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="only POSIX has forks")

# Hooks that are registered earlier run later before a fork, and earlier in its child.
SCRIPT = """
import os, signal, threading
from ramet.engine.processes.leaving import keep_to_this_process

hook = lambda: None
def handler(*_): raise AssertionError("our handler went along")
def blocked(): return signal.pthread_sigmask(signal.SIG_BLOCK, [])
def status(in_child=lambda: None):
    if (child := os.fork()) == 0:
        os._exit(in_child() or 0)
    return os.waitpid(child, 0)[1]

os.register_at_fork({hooks})
signal.signal(signal.SIGTERM, handler)
keep_to_this_process(handler)
{then}
print("as it should be")
"""


def ran(*, hooks: str, then: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(hooks=hooks, then=then)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_signal_that_comes_before_the_child_runs_python_ends_it() -> None:
    out = ran(
        hooks="after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM)",
        then="assert os.WTERMSIG(status()) == signal.SIGTERM",
    )
    assert out == "as it should be\n"


def test_a_handler_that_training_has_set_goes_along() -> None:
    out = ran(
        hooks="after_in_child=hook",
        then="""
own = lambda *_: None
signal.signal(signal.SIGTERM, own)
assert status(lambda: signal.getsignal(signal.SIGTERM) is not own) == 0
""",
    )
    assert out == "as it should be\n"


def test_threads_that_fork_at_the_same_time_keep_their_own_masks() -> None:
    out = ran(
        hooks="before=lambda: hook()",
        then="""
def other():
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR2})
    status()

def meanwhile():
    global hook
    hook = lambda: None
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()

hook = meanwhile
signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})
status()
assert blocked() == {signal.SIGUSR1}, blocked()
""",
    )
    assert out == "as it should be\n"
