"""What of a script runs where, and what is said when that cannot be."""

import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.engine.processes import settings as process_settings
from ramet.engine.processes.portable import dump
from ramet.errors import NotPortable, StrategyWarning
from tests.engine.loops import SPACE, pbt
from tests.engine.scripts import finished, ran, started
from tests.frameworks import framework

slow = pytest.mark.slow

HEAD = """\
import functools, logging, multiprocessing, os, sys, threading
from pathlib import Path
import numpy as np
import ramet

space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=5, turn_steps=4, synchronous=True)

def go(train, workers, **more):
    return ramet.run(train, space, strategy, steps=8, mode="max", seed=0, workers=workers, **more)

def came_to(train):
    alone, together = (go(train, workers) for workers in (0, 1))
    return [
        [float(member.score).hex() for member in result.population] for result in (alone, together)
    ]
"""
LOOP = """
def train(session):
    state = {"w": session.rng.normal(size=3)}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] = state["w"] * (1 - turn.hparams["lr"]) + OFFSET
        turn.report(float(state["w"].sum()))
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "train.py"
    path.write_text(HEAD + text)
    return path


def fails(path: Path) -> str:
    """Run a script that must fail; return what it said."""
    code, _, err = finished(started(path))
    assert code != 0
    return err


@slow
@pytest.mark.parametrize(
    "change",
    [
        "OFFSET = 0.25",
        "def step(w, lr): return w * (1 - lr) ** 2",
        "class Net:\n    gain = 2.0\n    def out(self, w): return -float(w.sum()) * self.gain",
        "Net.gain = 3.0",
        "Net.out = lambda self, w: 7.0 * w[0]",
        "train = lambda member, was=train: was(member)",
    ],
    ids=["value", "function", "class", "attribute", "method", "what is trained"],
)
def test_a_second_call_trains_with_what_has_changed_since(change: str, tmp_path: Path) -> None:
    text = f"""
OFFSET = 0.5
def step(w, lr): return w * (1 - lr) + OFFSET
class Net:
    gain = 1.0
    def out(self, w): return float(w.sum()) * self.gain
def train(session):
    state = {{"w": session.rng.normal(size=3)}}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] = step(state["w"], turn.hparams["lr"])
        turn.report(Net().out(state["w"]))
first = came_to(train)
{change}
second = came_to(train)
assert first[0] == first[1], first
assert second[0] == second[1], second
print(first == second)
"""
    assert ran(script(tmp_path, text)) == f"{'lambda member' in change}\n"


@slow
def test_each_worker_has_its_own_of_what_cannot_be_pickled(tmp_path: Path) -> None:
    text = """
lock = threading.Lock()
OFFSET = np.random.default_rng().normal()

def guarded(function):
    inner = threading.Lock()
    @functools.wraps(function)
    def call(member):
        with lock, inner:
            return function(member)
    return call
"""
    text += LOOP.replace("def train", "@guarded\ndef train")
    alone, together = ran(script(tmp_path, text + "print(*came_to(train), sep='|')")).split("|")
    assert together.strip() == alone.strip()


@slow
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("came_to(train)\nlock = threading.Lock()\ncame_to(train)", "'lock' \\(lock\\) cannot"),
        ("if __name__ == '__main__':\n    lock = threading.Lock()\n    go(train, 1)", "'lock'"),
    ],
    ids=["changed between calls", "behind the guard"],
)
def test_what_cannot_be_pickled_and_is_not_the_workers_is_named(
    text: str, says: str, tmp_path: Path
) -> None:
    before = "lock = threading.Lock()\n" if "came_to" in text else ""
    loop = LOOP.replace("OFFSET", "lock.locked()")
    err = fails(script(tmp_path, f"{before}{loop}\n{text}"))
    assert "NotPortable: what " in err
    assert says.replace("\\", "") in err


@slow
def test_a_call_that_a_worker_comes_to_begins_nothing(tmp_path: Path) -> None:
    text = f"""
OFFSET = 0.5
{LOOP}
try:
    print(go(train, 1, store="runs.db"))
except Exception:
    raise SystemExit("it was caught")
print("only here")
"""
    out = ran(script(tmp_path, text))
    assert out.endswith("only here\n")
    assert out.count("only here") == 1


@slow
def test_what_the_top_level_prints_is_seen_once_and_what_the_loop_logs_is_seen(
    tmp_path: Path,
) -> None:
    text = f"""
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(name)s: %(message)s")
print("at the top")
OFFSET = 0.5
{LOOP}
def chatty(member):
    logging.getLogger(__name__).info("in the loop")
    train(member)
go(chatty, 1)
"""
    out = ran(script(tmp_path, text))
    assert out.count("at the top") == 1
    assert "__main__: in the loop" in out


@slow
def test_logging_that_is_set_up_behind_the_guard_is_set_up_in_workers(tmp_path: Path) -> None:
    text = f"""
OFFSET = 0.5
{LOOP}
def chatty(member):
    logging.getLogger("mine").debug("in the loop")
    train(member)
if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level="WARNING", format="%(name)s says %(message)s")
    logging.getLogger("mine").setLevel("DEBUG")
    go(chatty, 1)
"""
    assert "mine says in the loop" in ran(script(tmp_path, text))


@slow
def test_pytorchs_precisions_are_carried_over_whichever_way_they_were_set(tmp_path: Path) -> None:
    framework("torch")
    text = """
import torch

def read(place):
    try:
        return str(functools.reduce(getattr, place.split("."), torch.backends))
    except (AttributeError, RuntimeError) as error:
        return type(error).__name__

def seen():
    kinds = ("cuda.matmul.allow_tf32", "cudnn.allow_tf32", "fp32_precision")
    places = ("cuda.matmul", "cudnn", "cudnn.conv", "cudnn.rnn", "mkldnn", "mkldnn.matmul")
    return {place: read(place) for place in [*kinds, *(f"{one}.fp32_precision" for one in places)]}

def train(session):
    state = {"seen": seen(), "w": np.zeros(1)}
    for turn in session.turns(state):
        list(turn)
        state["w"] += turn.hparams["lr"]
        turn.report(0.0)

if __name__ == "__main__":
    for change in (
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
        lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    ):
        change()
        found = go(train, 1).best.load()["seen"]
        assert found == seen(), {name: (found[name], seen()[name]) for name in found}
"""
    ran(script(tmp_path, text))


@slow
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("raise OSError('no such port')", "OSError: no such port"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("Path('runs.db').unlink()", "its file was removed or replaced"),
    ],
    ids=["error", "exit", "store"],
)
def test_a_script_that_cannot_run_twice_is_refused_with_the_reason(
    what: str, says: str, tmp_path: Path
) -> None:
    text = f"""
OFFSET = 0.5
if Path("been").exists():
    {what}
Path("been").touch()
{LOOP}
go(train, 1, store="runs.db")
"""
    err = fails(script(tmp_path, text))
    assert "script runs again in each worker process" in err
    assert says in err
    assert "if __name__ == '__main__':" in err
    if "raise" in what:
        line = (HEAD + text).splitlines().index(f"    {what}") + 1
        assert f"train.py, line {line} raised" in err


@slow
def test_a_script_runs_again_as_it_began_and_leaves_a_worker_its_share(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = """
os.chdir("data")
os.environ["CUDA_VISIBLE_DEVICES"] = "4,5"
os.environ["MINE"] = os.environ.get("MINE", "") + "once"
assert sys.argv.pop() == "taken away"
def train(session):
    seen = {"cwd": os.getcwd(), "gpus": os.environ["CUDA_VISIBLE_DEVICES"], "debug": __debug__}
    seen |= {"mine": os.environ["MINE"], "arguments": len(sys.argv)}
    state = {"seen": seen, "w": np.zeros(1)}
    for turn in session.turns(state):
        list(turn)
        state["w"] += 1.0
        turn.report(0.0)
print(*[go(train, 1).best.load()["seen"].values()][0])
"""
    folder = tmp_path / "data"
    assert ran(script(tmp_path, text), "taken away").split() == [
        str(folder),
        "4",
        "True",
        "once",
        "1",
    ]


@slow
def test_a_process_that_the_loop_starts_and_that_imports_the_script_is_told_of_the_guard(
    tmp_path: Path,
) -> None:
    text = f"""
OFFSET = 0.5
{LOOP}
def starts(member):
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    train(member)
go(starts, 0)
"""
    code, _, err = finished(started(script(tmp_path, text)))
    assert code == 0
    assert "must begin its training behind `if __name__ == '__main__':`" in err


def test_what_cannot_be_pickled_is_named_by_the_variable_that_has_it() -> None:
    class Model:
        def __init__(self) -> None:
            self.guard = threading.Lock()

    model = Model()

    def train(session: ramet.Session) -> None:
        session.turns(model)

    with pytest.raises(NotPortable, match=r"'guard' of 'model' of the run's train \(lock\)"):
        ramet.run(train, SPACE, pbt(), steps=4, mode="max", workers=1)


@slow
def test_an_environment_that_cannot_be_pickled_is_named_where_it_is_missing() -> None:
    framework("gymnasium")
    import gymnasium  # noqa: PLC0415 - not on every machine

    lock = threading.Lock()
    gymnasium.register("Locked-v0", entry_point=lambda: lock)
    settings = process_settings.collect(dump)
    del gymnasium.registry["Locked-v0"]
    assert settings["gymnasium"] == {"Locked-v0": None}
    with pytest.warns(StrategyWarning, match="'Locked-v0' of gymnasium cannot be set there"):
        process_settings.apply(settings)


def test_settings_follow_a_library_that_is_imported_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sums.py").write_text("precise = 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])

    def put(module: Any, name: str, value: Any) -> None:
        setattr(module, name, value)

    library = process_settings.Library(lambda sums: {"precise": sums.precise}, put)
    monkeypatch.setitem(process_settings.LIBRARIES, "sums", library)
    with warnings.catch_warnings():
        process_settings.apply({"sums": {"precise": dump(1)}})
        import sums  # noqa: PLC0415 - written above
    assert sums.precise
