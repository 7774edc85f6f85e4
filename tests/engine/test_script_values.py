"""Workers train with the values that functions and classes have in the first process."""

from pathlib import Path

import pytest

from tests.engine.scripts import finished, ran, started

pytestmark = pytest.mark.slow

HEAD = """\
import dataclasses, enum, functools, threading
import numpy as np
import ramet

def go(train, workers):
    space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
    strategy = ramet.PBT(population=5, turn_steps=4, synchronous=True)
    result = ramet.run(train, space, strategy, steps=8, mode="max", seed=0, workers=workers)
    return [float(member.score).hex() for member in result.population]

def show(train):
    print(*go(train, 0))
    print(*go(train, 1))
"""

# Each trains by OFFSET, an expression that the case is about.
LOOP = """
def train(session{parameters}):
    state = {{"w": session.rng.normal(size=3)}}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] = state["w"] * (1 - turn.hparams["lr"]) + {offset}
        turn.report(float(state["w"].sum()))
"""
MAIN = '\nif __name__ == "__main__":\n    '

TASK = """
class Regression:
    x = np.random.default_rng().normal(size=(50, 3))
    def init(self, rng): return rng.normal(size=3)
    def step(self, w, h, steps, rng): return w - h["lr"] * self.x.T @ (self.x @ w) / 50
    def evaluate(self, w): return -float(np.mean((self.x @ w) ** 2))
"""
CASES = {
    "a class attribute set in main": "class Config: layers = [8]; betas = (0.9, 0.99)"
    + LOOP.format(parameters="", offset="Config.layers[0] + Config.betas[0]")
    + "def main():\n    Config.layers = [16]\n    Config.betas = (0.5, 0.5)\n    show(train)\n"
    + f"{MAIN}main()",
    "a class attribute filled in main": "class Data: items = []"
    + LOOP.format(parameters="", offset="len(Data.items)")
    + f"{MAIN}Data.items.extend(range(100)); show(train)",
    "a class attribute without a seed": f"{TASK}show(Regression())",
    "a class attribute beside a lock": TASK.replace(
        "    x =", "    lock = threading.Lock()\n    x ="
    )
    + "show(Regression())",
    "a default without a seed": "DATA = np.random.default_rng().normal(size=3)"
    + LOOP.format(parameters=", data=DATA", offset="data")
    + "show(train)",
    "a keyword default": LOOP.format(parameters=", *, gain=1.0", offset="gain")
    + f'{MAIN}train.__kwdefaults__["gain"] = 3.0; show(train)',
    "a function attribute": "def other(): pass\nother.scale = 1"
    + LOOP.format(parameters="", offset="other.scale")
    + f"{MAIN}other.scale = 7; show(train)",
    "a closure's cell": """
def scaled(by):
    def wrap(function):
        @functools.wraps(function)
        def inner(session): return function(session, by)
        return inner
    return wrap

@scaled(1.0)"""
    + LOOP.format(parameters=", by", offset="by")
    + f"{MAIN}train = scaled(5.0)(train.__wrapped__); show(train)",
    "a cell beside a lock": """
def guarded(by):
    lock = threading.Lock()
    def inner(session):
        with lock:
            return loop(session, by)
    return inner
"""
    + LOOP.replace("def train", "def loop").format(parameters=", by", offset="by")
    + "train = guarded(np.random.default_rng().normal(size=3))\nshow(train)",
    "a default that marks what is missing": "MISSING = object()\n"
    "def gain(x=MISSING): return 2.0 if x is MISSING else 1.0"
    + LOOP.format(parameters="", offset="gain()")
    + "show(train)",
    "an enum defined anew": "class Color(enum.Enum): A = (1, 2)"
    + LOOP.format(parameters="", offset="Color.A.value[0]")
    + "show(train)\nclass Color(enum.Enum): A = (5, 2)\nshow(train)",
    "a default_factory": """
@dataclasses.dataclass
class Net: layers: list = dataclasses.field(default_factory=lambda: [1])
"""
    + LOOP.format(parameters="", offset="len(Net().layers)")
    + """show(train)
@dataclasses.dataclass
class Net: layers: list = dataclasses.field(default_factory=lambda: [1, 2, 3])
show(train)""",
}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES.keys())
def test_workers_train_with_the_values_of_the_first_process(text: str, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(HEAD + text)
    lines = ran(path).splitlines()
    assert lines
    assert lines[::2] == lines[1::2]


HELD = """
class Trainer:
    def __init__(self): self.lock, self.offset = threading.Lock(), OFFSET
    def __call__(self, session):
        with self.lock: return loop(session, self.offset)

class Holder:
    def __init__(self, trainer): self.trainer = trainer
    def __call__(self, session): return self.trainer(session)

OFFSET = 0.5
trainer = Trainer()
""" + LOOP.replace("def train", "def loop").format(parameters=", by", offset="by")


@pytest.mark.parametrize(
    "train", ["trainer", "Holder(trainer)", "lambda session: trainer(session)"]
)
def test_each_worker_has_its_own_of_an_object_that_cannot_be_pickled(
    train: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.py"
    path.write_text(f"{HEAD}{HELD}{MAIN}show({train})")
    alone, together = ran(path).splitlines()
    assert together == alone


def test_what_cannot_be_pickled_must_be_of_its_type_in_a_worker(tmp_path: Path) -> None:
    text = f"""
class Task:
    lock = None
    def init(self, rng): return rng.normal(size=3)
    def step(self, w, h, steps, rng): return w * h["lr"]
    def evaluate(self, w):
        with self.lock: return float(w.sum())
{MAIN}Task.lock = threading.Lock(); go(Task(), 1)"""
    path = tmp_path / "train.py"
    path.write_text(HEAD + text)
    code, _, err = finished(started(path))
    assert code != 0
    assert "NotPortable: what training uses must be something that can be pickled" in err
    assert "but 'Task.lock' (_thread.lock) is neither" in err
