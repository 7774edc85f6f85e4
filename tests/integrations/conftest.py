"""Settings of the tests of callbacks."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="module")
def frozen() -> Iterator[None]:
    """Spare accelerate, which collects garbage at every beginning, what there is already."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what the Trainer writes go where it is pruned away."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Keep tests that run beside each other out of each other's way."""
    pytest.importorskip("torch").set_num_threads(1)
