"""What each worker process gets of the machine."""

from pathlib import Path

import pytest

from ramet.engine.processes import allowance
from ramet.engine.processes.allowance import visible_gpus
from ramet.engine.processes.resources import (
    THREADS,
    Share,
    check_gpus,
    environment_of,
    share,
)
from ramet.errors import StrategyError


def environment(worker: int, **changes: object) -> dict[str, str]:
    settings = {
        "threads": 4,
        "gpus": [],
        "gpus_per_worker": None,
        "workers": 4,
        "given": {"HOME": "/home/ada"},
        **changes,
    }
    return environment_of(worker, **settings)


def test_all_libraries_have_the_threads_of_a_worker() -> None:
    assert {environment(0)[name] for name in THREADS} == {"4"}


def test_what_the_user_set_stays() -> None:
    made = environment(0, given={"MKL_NUM_THREADS": "7"})
    assert (made["MKL_NUM_THREADS"], made["OMP_NUM_THREADS"]) == ("7", "4")


@pytest.mark.parametrize(
    ("given", "threads"),
    [
        ({}, {"3"}),
        ({"OMP_NUM_THREADS": "1"}, {"1"}),
        ({"OMP_NUM_THREADS": "2,1"}, {"2", "2,1"}),
        ({"OMP_NUM_THREADS": "all"}, {"3", "all"}),
    ],
)
def test_what_the_user_set_for_all_libraries_is_overridden_for_none(
    given: dict[str, str], threads: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    share = Share(workers=2)
    for made in share.environments(share.asked or 3):
        assert {made[name] for name in THREADS} == threads


@pytest.mark.parametrize(("cores", "workers", "threads"), [(16, 4, 4), (2, 3, 1)])
def test_workers_share_the_cores_out(
    cores: int, workers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramet.engine.processes.resources.usable_cores", lambda: cores)
    assert Share(workers=workers).default == threads


def test_without_gpus_nothing_is_said_of_them() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in environment(0)


@pytest.mark.parametrize(
    ("per_worker", "seen"),
    [
        (None, ["a", "b", "c", "d"]),
        (1, ["a", "b", "c", "d"]),
        (0.5, ["a", "a", "b", "b"]),
        (0.3, ["a", "a", "a", "b"]),
    ],
)
def test_each_worker_sees_its_share(per_worker: float | None, seen: list[str]) -> None:
    gpus = ["a", "b", "c", "d"]
    made = [environment(worker, gpus=gpus, gpus_per_worker=per_worker) for worker in range(4)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in made] == seen


def test_whole_gpus_are_not_shared() -> None:
    assert [share(worker, list("abcd"), 2) for worker in range(2)] == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("per_worker", [0, -1, 1.5, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(per_worker: float) -> None:
    with pytest.raises(StrategyError, match="must be a whole number, or a part of one GPU"):
        check_gpus(["0", "1"], workers=1, per_worker=per_worker)


@pytest.mark.parametrize(("workers", "per_worker"), [(3, 1), (2, 2), (5, 0.5), (7, 0.3)])
def test_more_than_there_is_is_refused(workers: int, per_worker: float) -> None:
    with pytest.raises(StrategyError, match="must not be more than the GPUs there are"):
        check_gpus(["0", "1"], workers=workers, per_worker=per_worker)


@pytest.mark.parametrize(
    ("setting", "seen"),
    [
        ("", []),
        ("-1", []),
        ("0,2", ["0", "2"]),
        ("0,-1,1", ["0"]),
        ("GPU-8f,GPU-9a", ["GPU-8f", "GPU-9a"]),
        # As Slurm has it for a job without GPUs.
        ("NoDevFiles", []),
    ],
)
def test_the_gpus_are_those_that_this_process_may_see(setting: str, seen: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": setting}) == seen


@pytest.mark.parametrize("gpus", [1e-320, 1e-4, 0.0, -1.0, float("nan"), float("inf"), 1.5])
def test_a_share_of_gpus_that_is_none_is_refused(gpus: float) -> None:
    with pytest.raises(StrategyError, match=r"a part of one GPU, at least 0\.001, but got"):
        Share(workers=2, gpus=gpus)


@pytest.mark.parametrize("text", ["", "max", "150000", "150000 0", "a b", "1 2 3"])
def test_a_limit_of_cores_that_cannot_be_read_is_no_limit(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(allowance, "CPU_MAX", limit)
    unlimited = allowance.usable_cores()

    limit.write_text(text)

    assert allowance.usable_cores() == unlimited


MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"


@pytest.mark.parametrize(
    ("gpus", "workers", "per_worker", "parts"),
    [
        (["a"], 2, None, ["0.450", "0.450"]),
        (["a", "b"], 3, None, ["0.450", None, "0.450"]),
        (["a"], 2, 0.5, ["0.450", "0.450"]),
        # The user may want the other half for something else.
        (["a"], 1, 0.5, ["0.450"]),
        (["a"], 3, 0.3, ["0.300", "0.300", "0.300"]),
        (["a", "b"], 2, 1, [None, None]),
        ([], 2, None, [None, None]),
    ],
)
def test_jax_gets_a_part_of_a_gpus_memory_where_workers_share_it(
    gpus: list[str], workers: int, per_worker: float | None, parts: list[str | None]
) -> None:
    made = [
        environment(worker, gpus=gpus, workers=workers, gpus_per_worker=per_worker)
        for worker in range(workers)
    ]
    assert [one.get(MEMORY) for one in made] == parts


@pytest.mark.parametrize(
    "name",
    [
        "XLA_PYTHON_CLIENT_MEM_FRACTION",
        "XLA_CLIENT_MEM_FRACTION",
        "XLA_PYTHON_CLIENT_PREALLOCATE",
        "XLA_PYTHON_CLIENT_ALLOCATOR",
    ],
)
def test_what_the_user_set_about_memory_stays(name: str) -> None:
    made = environment(0, gpus=["a"], workers=2, given={name: "0.2"})
    assert {n: made[n] for n in made if n.startswith("XLA")} == {name: "0.2"}
