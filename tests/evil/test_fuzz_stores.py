"""Some changed stores, the same each time; `python -m benchmarks.fuzz stores` tries more."""

import contextlib
import random
from pathlib import Path

import pytest

from benchmarks.fuzz import stores
from ramet.errors import RametError


@pytest.mark.parametrize("seed", range(4))
def test_only_errors_of_ours_come_out_of_a_changed_store(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PAGES", 0.0)
    for nth in range(60):
        folder = tmp_path / str(nth)
        folder.mkdir()
        look = stores.trial(random.Random(f"{seed}-{nth}"), folder)  # noqa: S311 - nothing is secret
        with contextlib.suppress(RametError):
            look()
