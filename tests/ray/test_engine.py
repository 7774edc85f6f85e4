"""The engine as a value, and what it refuses before Ray is asked."""

import sys
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import StoreError, StoreUnsupported, StrategyError, UsageError
from ramet.places import place
from ramet.ray.needs import Node, check_reach, check_room, count_places
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt

NODES = [
    Node(id="a", address="10.0.0.1", resources={"node:10.0.0.1": 1.0, "memory": 1e9, "CPU": 4.0}),
    Node(id="b", address="10.0.0.2", resources={"CPU": 8.0, "GPU": 2.0, "spot": 1.0}),
]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"workers": 0}, "workers must be a whole number, at least 1, but got 0"),
        ({"workers": "all"}, "workers must be a whole number .*'auto', but got 'all'"),
        ({"num_cpus": -1}, "num_cpus must be a number of 0 or more, but got -1"),
        ({"num_cpus": True}, "num_cpus must be a number of 0 or more, but got True"),
        ({"num_gpus": 1.5}, "num_gpus must be a whole number, or a part of one"),
        ({"resources": {"spot": "1"}}, r"resources\['spot'\] must be a number .* but got '1'"),
        ({"resources": ["spot"]}, "resources must be amounts by Ray's names"),
        ({"resources": {"GPU": 1}}, "with num_cpus= and num_gpus=, but resources= has GPU"),
        ({"num_cpus": 0}, "a worker must need something that Ray can count"),
        (
            {"placement": "PACK"},
            r"placement must be one of \('SPREAD', 'DEFAULT'\), but got 'PACK'",
        ),
        ({"grows": 1}, "grows must be True or False, but got 1"),
        ({"progress": 1}, "progress must be True, False or None"),
        ({"failures": None}, "failures must be a value such as"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: Any, why: str) -> None:
    with pytest.raises(StrategyError, match=why):
        ramet.Ray(**settings)


def train(engine: ramet.Ray, store: Any = None) -> ramet.Result:
    return ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", store=store, engine=engine)


def test_where_there_is_no_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs Ray, but .*pip install 'ramet\[ray\]'"):
        train(ramet.Ray())


def test_a_store_in_memory_is_refused() -> None:
    storage = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    with pytest.raises(StoreError, match="worker processes must share their store"):
        train(ramet.Ray(), storage)


def test_workers_are_counted_by_what_is_scarcest_on_each_node() -> None:
    assert count_places({"CPU": 1}, NODES) == 12
    assert count_places({"CPU": 3}, NODES) == 3
    assert count_places({"CPU": 1, "GPU": 0.5}, NODES) == 4
    assert count_places({"CPU": 0.1}, NODES) == 120


def test_workers_that_fit_on_no_node_are_told_what_the_nodes_have() -> None:
    check_room({"CPU": 8, "GPU": 2}, NODES)
    with pytest.raises(
        StrategyError,
        match=r"needs 9 CPU and 1 spot, and 10\.0\.0\.1 has 4 CPU; "
        r"10\.0\.0\.2 has 8 CPU and 2 GPU and 1 spot\. Ask for less",
    ):
        check_room({"CPU": 9, "spot": 1}, NODES)


def test_a_file_is_no_store_for_several_machines(tmp_path: Path) -> None:
    store = place(tmp_path / "runs.db").store
    check_reach(store, home="10.0.0.1", addresses=["10.0.0.1", "10.0.0.1"])
    with pytest.raises(
        StoreUnsupported,
        match=r"runs\.db is a file of 10\.0\.0\.1, and the Ray cluster also has 10\.0\.0\.2, "
        r"10\.0\.0\.3;.*Storage\('postgresql://.*blobs='s3://",
    ):
        check_reach(store, home="10.0.0.1", addresses=["10.0.0.3", "10.0.0.1", "10.0.0.2"])


def test_a_store_of_ones_own_is_not_judged() -> None:
    check_reach(MemoryStore(), home="10.0.0.1", addresses=["10.0.0.2"])
