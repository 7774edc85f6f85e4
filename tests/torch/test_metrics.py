"""Tensors as metrics."""

import math

import pytest
import torch

import ramet
import ramet.torch
from ramet.engine.run.metrics import Metrics, hold_value
from ramet.errors import MetricError
from tests.engine.loops import pbt


def kept(metrics: Metrics) -> dict[str, list[float]]:
    return {name: values.tolist() for it in metrics.pack() for name, _, values in it.curves()}


def test_a_loss_with_its_graph_can_be_logged() -> None:
    def train(session: ramet.Session) -> None:
        ramet.torch.seed(session.seed)
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for turn in session.turns(ramet.torch.State(model, optimizer)):
            for _ in turn:
                loss = model(torch.ones(2)).square().sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                turn.log(loss=loss)
            turn.report(loss.item(), weight=model.weight.norm())

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1))
    result = ramet.run(train, space, pbt(), steps=8, seed=0, mode="min")
    rows = [row for row in result.rows("metrics") if row["name"] == "loss"]
    assert len(rows) == 6 * 8
    assert all(0 < row["value"] < 100 for row in rows)


def test_a_tensor_that_is_written_on_later_leaves_what_was_logged() -> None:
    metrics, total = Metrics(), torch.zeros((), requires_grad=True)
    for step in (1, 2, 3):
        with torch.no_grad():
            total += step
        metrics.log(step, {"total": total})
    assert kept(metrics) == {"total": [1.0, 3.0, 6.0]}


class OnDevice:
    """What a tensor on a device shows of itself; it notes when somebody waits for its value."""

    is_cpu = False

    def __init__(self, value: float, waits: list[float], shape: tuple[int, ...] = ()) -> None:
        self.value, self.waits, self.shape = value, waits, shape

    def detach(self) -> "OnDevice":
        return self

    def clone(self) -> "OnDevice":
        return OnDevice(self.value, self.waits, self.shape)

    def __float__(self) -> float:
        self.waits.append(self.value)
        return float(self.value)


def test_logging_does_not_wait_for_a_device_before_the_turn_is_over() -> None:
    metrics = Metrics()
    waits: list[float] = []
    tensor = OnDevice(0.0, waits)
    for step in range(1, 1_001):
        tensor.value = float(step)
        metrics.log(step, {"loss": tensor})
    assert waits == []
    (values,) = kept(metrics).values()
    assert values[0] == 1.0
    assert values[-1] == 1_000.0
    assert values == waits


def test_several_numbers_on_a_device_are_refused_without_waiting() -> None:
    waits: list[float] = []
    with pytest.raises(MetricError, match="one number"):
        Metrics().log(1, {"loss": OnDevice(0.0, waits, shape=(3,))})
    assert waits == []
    with pytest.raises(MetricError, match=r"'loss' is an array of shape \(2, 3\) of type Tensor"):
        Metrics().log(1, {"loss": torch.zeros(2, 3)})
    with pytest.raises(MetricError, match="one number"):
        Metrics().log(1, {"loss": torch.zeros(3, device="meta")})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_tensors_of_any_kind_are_numbers(dtype: torch.dtype) -> None:
    assert hold_value("loss", torch.ones(1, 1, dtype=dtype)) == 1.0


def test_a_tensor_of_nan_is_nan() -> None:
    assert math.isnan(hold_value("loss", torch.tensor(float("nan"))))
