"""Conditions, arrays and limits in a database: recorded, resumed, and looked at from there."""

from pathlib import Path
from typing import Any

import ramet
from ramet.events import canonical
from ramet.history.doctor import examine
from tests.engine.rich import RICH, Rich
from tests.frameworks import package

package("psycopg")


def test_a_run_in_a_database_is_the_same(url: str, tmp_path: Path) -> None:
    strategy = ramet.PBT(population=6, turn_steps=4, synchronous=True)
    settings: dict[str, Any] = {"steps": 24, "mode": "max", "seed": 1}
    here = ramet.run(Rich(), RICH, strategy, **settings)
    store = f"{url}&blobs={tmp_path / 'kept'}"
    ramet.open(store, space=RICH, strategy=strategy, name="rich", **settings)

    ramet.join(Rich(), store, name="rich")

    there = ramet.history.load(store, "rich")
    assert canonical(there.events)[1:] == canonical(here.events)[1:]
    assert there.schedule().pieces == here.schedule().pieces
    assert examine(there.store, there.blobs, "rich") == []
