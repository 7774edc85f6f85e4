"""Schedules in PyTorch's own terms."""

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from ramet.errors import ScheduleError
from ramet.schedule import Piece, Schedule

RATES = [0.3, 0.1, 0.07, 1e-3]
SCHEDULE = Schedule(
    tuple(
        Piece(start=10 * nth, stop=10 * (nth + 1), hparams={"lr": rate})
        for nth, rate in enumerate(RATES)
    )
)


@pytest.mark.parametrize("bases", [(0.1,), (0.3, 0.017)])
def test_lambda_lr_has_the_rate_of_every_step(bases: tuple[float, ...]) -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": base} for base in bases]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = LambdaLR(optimizer, SCHEDULE.as_torch_lambda(optimizer, "lr"))
    for step in range(45):
        assert {group["lr"] for group in optimizer.param_groups} == {SCHEDULE(step)["lr"]}
        optimizer.step()
        scheduler.step()


def test_a_base_of_zero_has_no_multiples() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0)
    with pytest.raises(ScheduleError, match="a rate that is not 0"):
        SCHEDULE.as_torch_lambda(optimizer, "lr")
