"""A device without memory for its workers is said to be that."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import ramet
from ramet.errors import RunFailed
from tests.engine.loops import pbt

SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
OF_JAX = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes."
OF_TORCH = "CUDA out of memory. Tried to allocate 16.00 GiB. GPU 0 has a total capacity of 80 GiB"
# Of a GPU with 80 GiB.
GIB = 2**30


class OutOfMemoryError(RuntimeError):
    """As PyTorch's, which is known by its name."""

    __module__ = "torch"


def run_that_raises(error: Exception) -> str:
    def train(session: ramet.Session) -> None:
        for _ in session.turns({"w": 0.0}):
            raise error

    with pytest.raises(RunFailed) as failed:
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)
    return str(failed.value)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share a device among four workers, as one of them sees it."""
    monkeypatch.setenv("RAMET_DEVICE_WORKERS", "4")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delitem(sys.modules, "jax", raising=False)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(OF_JAX),
        RuntimeError("INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        OutOfMemoryError("no more"),
    ],
)
@pytest.mark.usefixtures("shared")
def test_workers_that_share_a_device_without_memory_are_counted(error: Exception) -> None:
    said = run_that_raises(error)
    assert "The device has no memory left. 4 workers share it, and 2 may fit" in said
    assert "orrect the code" not in said


@pytest.mark.usefixtures("shared")
def test_an_error_that_was_caused_by_a_lack_of_memory_is_that() -> None:
    error = RuntimeError("a step failed")
    error.__cause__ = RuntimeError(OF_JAX)
    assert "4 workers share it" in run_that_raises(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError(OF_JAX)])
@pytest.mark.usefixtures("shared")
def test_other_errors_are_the_codes(error: Exception) -> None:
    said = run_that_raises(error)
    assert "Correct the code" in said
    assert "no memory" not in said


def test_one_worker_alone_is_advised_to_train_with_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAMET_DEVICE_WORKERS", raising=False)
    assert "One worker has it for itself" in run_that_raises(RuntimeError(OF_JAX))


def torch_with(reserved: int) -> Any:
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        mem_get_info=lambda: (0, 80 * GIB),
        max_memory_reserved=lambda: reserved,
    )
    return SimpleNamespace(cuda=cuda)


def jax_with(peak: int) -> Any:
    stats = {"peak_bytes_in_use": peak, "bytes_limit": 18 * GIB}
    return SimpleNamespace(local_devices=lambda: [SimpleNamespace(memory_stats=lambda: stats)])


@pytest.mark.parametrize(
    ("module", "fake", "message"),
    [
        ("torch", torch_with(8 * GIB), OF_TORCH),
        ("jax", jax_with(8 * GIB), OF_JAX),
    ],
)
@pytest.mark.usefixtures("shared")
def test_how_many_would_fit_is_counted_from_what_one_needs(
    module: str, fake: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.225")
    said = run_that_raises(RuntimeError(message))
    assert "4 workers share it, and 3 would probably fit" in said
    assert "ramet.Processes(3)" in said


@pytest.mark.usefixtures("shared")
def test_a_training_that_no_device_can_hold_is_not_advised_to_have_fewer_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch_with(70 * GIB))
    assert "not even one would fit" in run_that_raises(RuntimeError(OF_TORCH))
