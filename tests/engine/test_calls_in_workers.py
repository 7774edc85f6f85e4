"""What a call of ``ramet.run`` does in a worker process, and what of the script runs there."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ramet.engine.processes import loading
from tests.engine.scripts import ROOT, alive, ran

slow = pytest.mark.slow

TIMEOUT_S = 60.0
MODULE = """\
import os, sys
import numpy as np
import ramet

print("top level", file=sys.stderr)
space = ramet.Space(lr=ramet.Uniform(0, 1))
strategy = ramet.PBT(population=5, turn_steps=2, synchronous=True)
steps, mode = 4, "max"

def train(session):
    state = {"w": np.zeros(1)}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] += turn.hparams["lr"]
        turn.report(float(state["w"][0]))

def go(train=train, workers=1, **more):
    return ramet.run(
        train, space, strategy, steps=steps, mode=mode, seed=0, workers=workers, **more
    )
"""


def python(folder: Path, *words: str, given: str = "") -> tuple[int, str, str]:
    """Run Python in a folder and a session of its own, of which nothing is left afterwards."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(given, timeout=TIMEOUT_S)
    finally:
        end_session(process.pid)
    return process.returncode, out, err


def end_session(session: int) -> None:
    """Kill all processes of a session, however many groups they are in and still start."""
    while there := [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if _is_of(session, int(process.name))
    ]:
        for pid in there:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _is_of(session: int, pid: int) -> bool:
    with contextlib.suppress(OSError):
        return alive(pid) and os.getsid(pid) == session
    return False


def written(folder: Path, text: str, name: str = "climb.py") -> Path:
    path = folder / name
    path.write_text(MODULE + text)
    return path


@slow
@pytest.mark.parametrize(
    ("words", "driver"),
    [
        (["climb.py"], ""),
        (["driver.py"], "import climb"),
        (["-m", "ramet", "run", "climb.py", "--workers", "1"], ""),
        (["-m", "ramet", "run", "climb", "--workers", "1"], ""),
    ],
    ids=["script", "import", "command", "module"],
)
def test_a_run_in_a_module_that_workers_import_begins_once(
    words: list[str], driver: str, tmp_path: Path
) -> None:
    written(tmp_path, 'print("best", go().best.score)\n')
    (tmp_path / "driver.py").write_text(driver)
    code, out, err = python(tmp_path, *words)
    assert code == 0, err
    assert err.count("top level") == 2
    assert out.count("best") == 1


@slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_module_that_the_loop_imports_trains_nothing_in_a_worker(
    workers: int, tmp_path: Path
) -> None:
    written(tmp_path, f'go(workers={workers})\nprint("trained")\n')
    text = "def train(member): import climb\nif __name__ == '__main__': go(train)\n"
    code, out, err = python(tmp_path, str(written(tmp_path, text, "driver.py")))
    assert code == 1
    assert "trained" not in out
    assert "'climb' reached that call when it was imported" in err
    assert "climb.py:" in err


@slow
def test_a_worker_starts_no_workers_of_its_own(tmp_path: Path) -> None:
    text = "def outer(member): go()\nif __name__ == '__main__': go(outer)\n"
    code, _, err = python(tmp_path, str(written(tmp_path, text)))
    assert code == 1
    assert "UsageError: a worker process must not start workers of its own" in err
    assert "workers=1" in err


@slow
def test_a_worker_may_train_a_run_in_its_own_process(tmp_path: Path) -> None:
    text = """
def outer(session):
    state = {"w": np.zeros(1)}
    for turn in session.turns(state):
        state["w"] += sum(1 for _ in turn)
        turn.report(go(workers=0).best.score)
print(go(outer).best.score == go(workers=0).best.score)
"""
    assert ran(written(tmp_path, text)) == "True\n"


NOTE = "Path('ends').open('a').write('x')"
FINALLY = f"""
try:
    go(store="out/runs.db")
finally:
    {NOTE}
"""
EXCEPT = f"""
try:
    go(store="out/runs.db")
except:
    print("failed")
{NOTE}
"""
WITH = f"""
import contextlib
with contextlib.ExitStack() as stack:
    stack.callback(lambda: {NOTE})
    go(store="out/runs.db")
"""
MAIN = f"""
def main():
    go(store="out/runs.db")
    {NOTE}
main()
"""


@slow
@pytest.mark.parametrize(
    "around", [FINALLY, EXCEPT, WITH, MAIN], ids=["finally", "except", "with", "main"]
)
def test_no_code_behind_the_call_runs_in_a_worker(around: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    out = ran(written(tmp_path, f"from pathlib import Path\n{around}"))
    assert (tmp_path / "ends").read_text() == "x"
    assert "failed" not in out


@slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_call_in_a_thread_of_the_script_begins_nothing_in_a_worker(
    workers: int, tmp_path: Path
) -> None:
    text = f"""
import threading
def outer():
    print("scored", go(workers={workers}).best.score)
thread = threading.Thread(target=outer)
thread.start()
thread.join()
go()
"""
    out = ran(written(tmp_path, text))
    assert out.count("scored") == 1


@slow
def test_a_worker_that_ends_at_the_call_leaves_nothing_unwritten(tmp_path: Path) -> None:
    text = """
import atexit, threading
from pathlib import Path
log = open("log", "a")
atexit.register(lambda: open(f"exit-{os.getpid()}", "w").close())
def loud(member):
    log.write("trained\\n")
    threading.Thread(target=lambda: open(f"thread-{os.getpid()}", "w").close()).start()
    train(member)
go(loud, workers=1)
"""
    ran(written(tmp_path, text))
    assert set((tmp_path / "log").read_text().splitlines()) == {"trained"}
    assert len(list(tmp_path.glob("exit-*"))) == 2
    assert len(list(tmp_path.glob("thread-*"))) == 1


TEE = """
class Tee:
    def __init__(self, out):
        self.out = out
    def write(self, text):
        self.out.write(text)
    def flush(self):
        self.out.flush()
sys.stdout = Tee(sys.stdout)
"""
CODEC = "import codecs\nsys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer)"
ERRORS = "import io\nsys.stderr = io.StringIO()"


@slow
@pytest.mark.parametrize("replaced", [TEE, CODEC, ERRORS], ids=["tee", "codec", "errors"])
def test_a_script_may_replace_its_output(replaced: str, tmp_path: Path) -> None:
    text = f"""
{replaced}
def loud(member):
    print("begins")
    train(member)
if __name__ == "__main__":
    go(loud)
"""
    out = ran(written(tmp_path, text))
    assert out.count("begins") >= 1


def test_a_worker_says_where_its_script_hangs(caplog: pytest.LogCaptureFixture) -> None:
    said = threading.Event()

    class Said:
        def filter(self, _: object) -> bool:
            said.set()
            return True

    caplog.handler.addFilter(Said())
    with loading.warn_when_late(0.0):
        assert said.wait(TIMEOUT_S)
    assert "has not reached ramet.run yet" in caplog.text
    assert f"{Path(__file__).name}:" in caplog.text
