"""Notebooks, executed by a kernel as people do it."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow

DEFINE = """\
import os, signal, threading, time
import ramet

WORKERS = {workers}
space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0), decay=ramet.Uniform(0.0, 0.1))
strategy = ramet.PBT(population=5, turn_steps=10)
settings = {{"mode": "max", "seed": 0, "workers": WORKERS}}

def train(session):
    state = {{"w": 0.0}}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] += turn.hparams["lr"] - turn.hparams["decay"]
        time.sleep(0.05)
        with open("turns", "a") as file:
            file.write("x")
        turn.report(state["w"])

def interrupt(after):
    # Interrupt this kernel, as its button does, once so many turns have been trained.
    until = os.path.getsize("turns") + after

    def wait():
        while os.path.getsize("turns") < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait).start()
"""
RUN = "result = ramet.run(train, space, strategy, steps=100, **settings)\nresult"
SHOWN = (
    "space",
    "strategy",
    "result.best",
    "result.population",
    "result.lineage()",
    "result.schedule()",
    "result.report()",
)
REPLAY = "ramet.replay(train, result.schedule(), seeds=[0, 1])"
FAIL = """\
def fail(session):
    for turn in session.turns({"w": 0.0}):
        list(turn)
        raise ZeroDivisionError("the loss exploded")

ramet.run(fail, space, strategy, steps=100, **settings)
"""
INTERRUPT = """\
interrupt(after=9)
whole = ramet.run(train, space, strategy, steps=4_000, **settings)
"""
PARTIAL = "partial = ramet.interrupted()\nprint(partial.population.turns)\npartial"
GO_ON = """\
interrupt(after=9)
ramet.run(train, space, strategy, steps=4_000, store=partial.storage, **settings)
"""
IN_A_FILE = """\
interrupt(after=9)
ramet.run(train, space, strategy, steps=4_000, store="runs.db", **settings)
"""
BEFORE_THE_FIRST_TURN = """\
from ramet.blobs import MemoryBlobs
from ramet.store import MemoryStore

class Stops(MemoryStore):
    def open_run(self, opening, *, worker):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

storage = ramet.Storage(Stops(), blobs=MemoryBlobs())
ramet.run(train, space, strategy, steps=100, mode="max", store=storage)
"""
CONFIRM = """\
def evaluate(state, rng):
    if rng.random() < 0.2:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    return rng.normal()

ramet.confirm(evaluate, result, top=5, times=4)
"""
CATCH = """\
interrupt(after=9)
try:
    ramet.run(train, space, strategy, steps=4_000, store="runs.db", **settings)
except KeyboardInterrupt as stopped:
    print(type(stopped).__name__, stopped.__traceback__ is not None, str(stopped).split(";")[0])
"""
CELLS = [
    *[RUN, *SHOWN, "result.plot()", REPLAY, FAIL],
    *[INTERRUPT, PARTIAL, GO_ON, PARTIAL, IN_A_FILE, CATCH, BEFORE_THE_FIRST_TURN, CONFIRM],
]


# By the kernel of this interpreter, in a process of its own, which closes its sockets.
EXECUTE = """\
import json, sys
import nbclient, nbformat
from jupyter_client import KernelManager

cells = [nbformat.v4.new_code_cell(cell) for cell in json.load(open("cells.json"))]
manager = KernelManager()
manager.kernel_spec.argv[0] = sys.executable
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=300, km=manager, allow_errors=True).execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.fixture(scope="module", params=[0, 1], ids=["inline", "workers"])
def outputs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Any]]:
    """The outputs of each cell, by its text; those of a cell that comes twice under "twice"."""
    folder = tmp_path_factory.mktemp("notebook")
    sources = [DEFINE.format(workers=request.param), *CELLS]
    (folder / "cells.json").write_text(json.dumps(sources))
    subprocess.run([sys.executable, "-c", EXECUTE], check=True, cwd=folder)
    notebook = json.loads((folder / "executed.ipynb").read_text())
    found: dict[str, list[Any]] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        found["twice" if source in found else source] = _join(cell["outputs"])
    return found


def test_progress_is_one_output_and_the_result_another(outputs: dict[str, list[Any]]) -> None:
    progress, result = outputs[RUN]
    assert progress["output_type"] == "display_data"
    assert "run  5 members  step 100/100 (100%)" in progress["data"]["text/plain"]
    assert "<progress" in progress["data"]["text/html"]
    assert "done, 100% of 100 steps each, 5 members" in result["data"]["text/html"]
    assert "best score" in result["data"]["text/html"]
    assert "<svg" in result["data"]["text/html"]


@pytest.mark.parametrize("cell", SHOWN)
def test_values_are_shown_as_text_and_as_html(cell: str, outputs: dict[str, list[Any]]) -> None:
    (shown,) = outputs[cell]
    assert "<" in shown["data"]["text/html"]
    text = shown["data"]["text/plain"]
    assert " at 0x" not in text
    assert text.count("\n") < 40


def test_a_plot_appears_once(outputs: dict[str, list[Any]]) -> None:
    (shown,) = outputs["result.plot()"]
    assert shown["output_type"] == "execute_result"
    assert len(shown["data"]["image/png"]) > 1_000


def test_a_replay_is_shown_with_its_scores(outputs: dict[str, list[Any]]) -> None:
    *_, shown = outputs[REPLAY]
    assert "seeds), the original" in shown["data"]["text/html"]
    assert ">1</td>" in shown["data"]["text/html"]


def test_a_failure_names_the_cell_and_its_line(outputs: dict[str, list[Any]]) -> None:
    error = next(it for it in outputs[FAIL] if it["output_type"] == "error")
    assert error["ename"] == "RunFailed"
    assert "ZeroDivisionError: the loss exploded (Cell In[" in error["evalue"]
    shown = "\n".join(error["traceback"])
    assert 'raise ZeroDivisionError("the loss exploded")' in _plain(shown)
    assert "dynamic-code" not in shown


def test_an_interrupt_leaves_the_result_so_far_and_the_run_goes_on(
    outputs: dict[str, list[Any]],
) -> None:
    error = next(it for it in outputs[INTERRUPT] if it["output_type"] == "error")
    assert error["ename"] == "KeyboardInterrupt"
    assert "ramet.interrupted()" in error["evalue"]
    turns = [int(cell[0]["text"]) for cell in (outputs[PARTIAL], outputs["twice"])]
    assert 0 < turns[0] < turns[1]
    assert "not over" in outputs[PARTIAL][1]["data"]["text/html"]


@pytest.mark.parametrize(
    ("cell", "store"),
    [(INTERRUPT, "store=ramet.interrupted().storage"), (IN_A_FILE, "with runs.db")],
)
def test_an_interrupt_ends_with_one_message_and_no_frames(
    cell: str, store: str, outputs: dict[str, list[Any]]
) -> None:
    error = next(it for it in outputs[cell] if it["output_type"] == "error")
    (shown,) = error["traceback"]
    assert shown == f"KeyboardInterrupt: {error['evalue']}"
    assert re.match(r"KeyboardInterrupt: run 'run' was stopped after \d+ turns; no turn ", shown)
    assert "ramet.interrupted() has the result so far" in shown
    assert store in shown
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (BEFORE_THE_FIRST_TURN, r"run 'run' was stopped while no turn was in progress; to go on, "),
        (CONFIRM, r"the confirmation of run 'run' was stopped after \d+ of 20 evaluations, "),
    ],
)
def test_an_interrupt_outside_of_turns_shows_no_frames_either(
    cell: str, said: str, outputs: dict[str, list[Any]]
) -> None:
    error = next(it for it in outputs[cell] if it["output_type"] == "error")
    (shown,) = error["traceback"]
    assert re.fullmatch(f"KeyboardInterrupt: {said}[^\n]*", shown)


def test_an_interrupt_can_be_caught(outputs: dict[str, list[Any]]) -> None:
    *_, caught = outputs[CATCH]
    assert re.match(r"KeyboardInterrupt True run 'run' was stopped after \d+ turns", caught["text"])


def test_nothing_else_is_printed(outputs: dict[str, list[Any]]) -> None:
    said = [it for cell, its in outputs.items() for it in its if it["output_type"] == "stream"]
    text = "".join(it["text"] for it in said if it["name"] == "stderr")
    lines = [line for line in text.splitlines() if "the loss exploded" not in line]
    assert lines == []


def _join(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return outputs with their texts, which the file has as lines.

    Outputs of one stream that follow each other become one: the kernel sends what is printed in
    parts.
    """
    joined: list[dict[str, Any]] = []
    for output in outputs:
        data = {kind: "".join(lines) for kind, lines in output.get("data", {}).items()}
        text = "".join(output.get("text", ""))
        if joined and "name" in output and joined[-1].get("name") == output["name"]:
            joined[-1]["text"] += text
        else:
            joined.append({**output, "data": data, "text": text})
    return joined


def _plain(shown: str) -> str:

    return re.sub(r"\x1b\[[0-9;]*m", "", shown)
