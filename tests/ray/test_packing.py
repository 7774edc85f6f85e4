"""What Ray's workers get of a job, without a cluster."""

import linecache
from typing import Any

import pytest

from tests.frameworks import framework

framework("ray")

from ramet import frames
from ramet.engine.processes.child import Job
from ramet.frames import Cell, name_file
from ramet.ray import packing

CELL = Cell("ipykernel_7/1234.py", "Cell In[3]", ["def train(session):\n", "    raise 1\n"])
NOTHING: Any = None


def make_job() -> Job:
    """Return a job with a function of a notebook, which is in no file."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("".join(CELL.lines), CELL.file, "exec"), space)  # noqa: S102 - as kernels do
    train = space["train"]
    return Job(
        train=train,
        settings=NOTHING,
        failures=NOTHING,
        store=NOTHING,
        blobs=NOTHING,
        watcher=None,
    )


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(packing, "collect_cells", lambda: [CELL])
    monkeypatch.setattr(frames, "_named", {})
    monkeypatch.setattr(linecache, "cache", {})
    return packing.pack(make_job())


def test_workers_know_the_cells_of_the_drivers_notebook(packed: bytes) -> None:
    code = packing.unpack(packed, train=True).train.__code__
    assert name_file(code.co_filename) == "Cell In[3]"
    assert linecache.getline(code.co_filename, 2) == "    raise 1\n"


def test_what_keeps_the_workers_loads_neither_functions_nor_cells(packed: bytes) -> None:
    assert packing.unpack(packed, train=False).train is None
    assert name_file(CELL.file) == CELL.file
