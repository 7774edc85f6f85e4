"""One program, started in every way that people start programs: its workers train as one does."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.engine.scripts import ROOT, result_in
from tests.frameworks import framework, package

pytestmark = pytest.mark.slow

# Each score depends on each setting, and the state says which ones the loop saw.
BODY = """\
import argparse, logging, os, pickle, sys
import gymnasium, jax, numpy as np, torch
import ramet, ramet.torch

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_default_prng_impl", "rbg")
torch.set_default_dtype(torch.float64)
torch.set_float32_matmul_precision("high")
torch.set_num_threads(1)
np.seterr(under="raise")
logging.getLogger("mine").setLevel(logging.DEBUG)
os.environ["MINE"] = "set here"

parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=float, default=1.0)
parser.add_argument("--store")
parser.add_argument("--workers", type=int, default=0)
options = parser.parse_args()

class Drift(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.125, False, False, {}

gymnasium.register("Drift-v0", entry_point=Drift)

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x).tanh()

def seen(net):
    if "<locals>" not in Net.__qualname__:
        assert type(pickle.loads(pickle.dumps(net))) is Net
    return {
        "jax_enable_x64": jax.config.jax_enable_x64,
        "jax_default_prng_impl": jax.config.jax_default_prng_impl,
        "set_default_dtype": str(torch.get_default_dtype()),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "numpy's errors": np.geterr()["under"],
        "a logger's level": logging.getLogger("mine").level,
        "the environment": os.environ["MINE"],
        "arguments": parser.parse_args().scale,
        "arguments at the top": options.scale,
        "the module's name": sum(parameter.numel() for parameter in net.parameters()),
    }

def train(session):
    torch.backends.cudnn.benchmark = True
    ramet.torch.seed(session.seed)
    net = Net()
    env = gymnasium.make("Drift-v0", disable_env_checker=True)
    env.reset()
    state = {"w": session.rng.normal(size=3), "seen": seen(net)}
    for turn in session.turns(state):
        with torch.no_grad():
            torch.manual_seed(int(turn.rng.integers(1000)))
            for parameter in net.parameters():
                parameter.normal_()
        for _ in turn:
            _, reward, *_ = env.step(np.zeros(1, np.float32))
            by_torch = net(torch.as_tensor(state["w"]).to(torch.get_default_dtype()))
            by_jax = np.asarray(jax.numpy.tanh(jax.numpy.asarray(state["w"])))
            change = by_torch.detach().double().numpy() + by_jax + reward * options.scale
            state["w"] = state["w"] + turn.hparams["lr"] * change
        turn.report(float(state["w"].sum()))

space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5), where=lambda h: h["lr"] * options.scale < 1)
strategy = ramet.PBT(population=5, turn_steps=2, synchronous=True)
steps = 6
mode = "max"
"""
CALL = """\
ramet.run(
    train, space, strategy, steps=steps, mode=mode, seed=0, store=options.store,
    workers=options.workers,
)
"""
GUARD = 'if __name__ == "__main__":\n'
ARGUMENTS = ["--scale", "0.3"]


def indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def python(folder: Path, *words: str, timeout_s: float = 300.0) -> None:
    """Run Python as people do, in a folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    environment |= dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS"], "1")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def written(folder: Path, text: str, name: str = "train.py") -> str:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return name


def unguarded(folder: Path, arguments: Sequence[str]) -> None:
    python(folder, written(folder, BODY + CALL), *arguments)


def guarded(folder: Path, arguments: Sequence[str]) -> None:
    python(folder, written(folder, BODY + GUARD + indented(CALL)), *arguments)


def inside_of_main(folder: Path, arguments: Sequence[str]) -> None:
    """Everything is a closure, and every setting is made behind the guard."""
    text = f"def main():\n{indented(BODY + CALL)}\n{GUARD}    main()\n"
    python(folder, written(folder, text), *arguments)


def settings_behind_the_guard(folder: Path, arguments: Sequence[str]) -> None:
    """What `options` is, training reads as a global."""
    settings, definitions = BODY.split("class Drift")
    imports, settings = settings.split("\n\n", 1)
    definitions, space = ("class Drift" + definitions).split("\nspace = ")
    register = 'gymnasium.register("Drift-v0", entry_point=Drift)\n'
    last = settings + register + "\nspace = " + space + CALL
    text = f"{imports}\n{definitions.replace(register, '')}\n{GUARD}{indented(last)}"
    python(folder, written(folder, text), *arguments)


def as_a_module(folder: Path, arguments: Sequence[str]) -> None:
    written(folder, "", "lab/__init__.py")
    written(folder, BODY + CALL, "lab/train.py")
    python(folder, "-m", "lab.train", *arguments)


def as_a_command(folder: Path, arguments: Sequence[str]) -> None:
    python(folder, "-c", BODY + CALL, *arguments)


def in_a_notebook(folder: Path, arguments: Sequence[str]) -> None:
    for name in ("nbclient", "ipykernel"):
        package(name)
    imports, rest = BODY.split("\n\n", 1)
    cells = [imports, f"import sys; sys.argv = {['train.py', *arguments]}", rest, CALL]
    written(folder, json.dumps(cells), "cells.json")
    python(folder, written(folder, NOTEBOOK, "notebook.py"))


# By the kernel of this interpreter, whichever are installed.
NOTEBOOK = """\
import json, sys
import nbclient, nbformat
from jupyter_client import KernelManager

cells = [nbformat.v4.new_code_cell(cell) for cell in json.load(open("cells.json"))]
manager = KernelManager()
manager.kernel_spec.argv[0] = sys.executable
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=300, km=manager).execute()
"""


def under_pytest(folder: Path, arguments: Sequence[str]) -> None:
    text = f"import sys\nsys.argv = {['train.py', *arguments]}\n{BODY}\ndef test_it():\n"
    python(folder, "-m", "pytest", "-q", written(folder, text + indented(CALL), "test_it.py"))


def by_the_command_line(folder: Path, arguments: Sequence[str]) -> None:
    written(folder, BODY)
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    own = ["--store", options["--store"], "--workers", options["--workers"], "--name", "run"]
    python(folder, "-m", "ramet", "run", "train.py", *own, "--seed", "0", "--", *arguments)


WAYS = [
    unguarded,
    guarded,
    inside_of_main,
    settings_behind_the_guard,
    as_a_module,
    as_a_command,
    in_a_notebook,
    under_pytest,
    by_the_command_line,
]


def came_to(
    way: Callable[[Path, Sequence[str]], None], folder: Path, workers: int
) -> tuple[list[str], dict[str, Any]]:
    """Return each member's score to the bit, and the settings that training saw."""
    store = folder / "runs.db"
    way(folder, [*ARGUMENTS, "--store", str(store), "--workers", str(workers)])
    result = result_in(store)
    assert result.population.done
    scores = [float(member.score).hex() for member in result.population]
    return scores, result.best.load()["seen"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Any]]:
    for name in ("torch", "jax", "gymnasium"):
        framework(name)
    return came_to(unguarded, tmp_path_factory.mktemp("alone"), 0)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_workers_reach_the_same_scores_to_the_bit(
    way: Callable[[Path, Sequence[str]], None],
    alone: tuple[list[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    # Several workers do not differ in how they came by the program: once is enough.
    scores, seen = came_to(way, tmp_path, 2 if way is unguarded else 1)
    assert seen == alone[1]
    assert scores == alone[0]
