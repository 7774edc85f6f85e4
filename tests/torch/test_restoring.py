"""Restoring changes what is there, all of it or nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import ramet.torch
from ramet.errors import StateError
from ramet.state import freeze
from tests.torch.training import Net, Training, adamw, sgd, written
from tests.values import alike


def pointers(training: Training) -> list[int]:
    """Return where all tensors of a training are."""
    remembered = [
        value
        for state in training.optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    rates = [group["lr"] for group in training.optimizer.param_groups]
    tensors = [*training.model.state_dict().values(), *remembered, *rates]
    return [tensor.data_ptr() for tensor in tensors if isinstance(tensor, torch.Tensor)]


def test_every_tensor_stays_where_it_is() -> None:
    def with_a_tensor_as_rate(params: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(params, lr=torch.tensor(0.01))

    one, other = Training(with_a_tensor_as_rate), Training(with_a_tensor_as_rate)
    one.steps(3)
    other.steps(1)
    saved, before = written(one.state), pointers(other)

    other.state.restore(saved)

    assert pointers(other) == before
    assert alike(written(other.state), saved)


def test_an_optimizer_forgets_what_was_not_remembered_when_it_was_saved() -> None:
    fresh, trained = Training(adamw), Training(adamw)
    trained.steps(2)
    trained.state.restore(written(fresh.state))
    assert not trained.optimizer.state


def test_a_restored_state_is_nobody_elses() -> None:
    one, other = Training(adamw), Training(adamw)
    one.steps(2)
    saved = freeze(one.state.capture())
    other.state.restore(saved)
    other.steps(2)
    one.state.restore(saved)
    assert alike(written(one.state), saved)


def test_a_compiled_model_has_the_same_checkpoint_as_one_that_is_not() -> None:
    model, part = Net(), Net()
    compiled = torch.compile(model, backend="eager")
    part.load_state_dict(model.state_dict())
    part.body = torch.compile(part.body, backend="eager")

    states = [ramet.torch.State(one, adamw(one.parameters())) for one in (model, compiled, part)]

    plain, *others = [written(state) for state in states]
    assert all(alike(other, plain) for other in others)
    states[2].restore(plain)


def test_a_model_that_names_its_parameters_has_the_same_checkpoint_compiled() -> None:
    model = Net()
    compiled = torch.compile(model, backend="eager")
    named = [torch.optim.SGD(one.named_parameters(), lr=0.1) for one in (model, compiled)]
    plain, other = (written(ramet.torch.State(model, optimizer, rng=False)) for optimizer in named)
    assert alike(other, plain)


def test_a_model_in_parallel_has_the_same_checkpoint_as_one_alone(tmp_path: Path) -> None:
    model = Net()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    try:
        wrapped = [nn.parallel.DistributedDataParallel(model), nn.DataParallel(model)]
        states = [ramet.torch.State(one, sgd(one.parameters())) for one in (model, *wrapped)]
        plain, *others = [written(state) for state in states]
        assert all(alike(other, plain) for other in others)
        states[1].restore(plain)
    finally:
        torch.distributed.destroy_process_group()


def refused(saved: Any, training: Any, match: str) -> None:
    """Hold a refusal to its words, and to having changed nothing."""
    before = freeze(training.capture())
    with pytest.raises(StateError, match=match):
        training.restore(saved)
    assert alike(freeze(training.capture()), before)


def test_another_shape_is_refused_by_its_name() -> None:
    saved = written(Training(sgd).state)
    model = Net(width=6)
    refused(
        saved,
        ramet.torch.State(model, sgd(model.parameters())),
        r"model's 'body.0.weight' was of shape \(8, 4\) and is of \(6, 4\) here; .*"
        r"and \d more. Nothing was restored",
    )


def test_other_names_are_refused_by_name() -> None:
    saved = written(Training(sgd).state)
    model = Net()
    model.tail, model.head = model.head, nn.Identity()
    refused(
        saved,
        ramet.torch.State(model, sgd(model.parameters())),
        r"model lacks \['head.weight', 'head.bias'\]; model has \['tail.weight', 'tail.bias'\], "
        r"which were not saved; optimizer's param group 0 lacks",
    )


def test_numbers_of_a_kind_that_would_lose_some_are_refused() -> None:
    def state(dtype: torch.dtype) -> ramet.torch.State:
        model = nn.Linear(1, 1)
        model.register_buffer("seen", torch.zeros(2, dtype=dtype))
        return ramet.torch.State(model, sgd(model.parameters()))

    refused(
        written(state(torch.float32)),
        state(torch.int64),
        "model's 'seen' was of torch.float32 and is of torch.int64 here",
    )


def grouped(*groups: list[str]) -> ramet.torch.State:
    """Return a state whose optimiser has groups of these parameters."""
    model = Net()
    params = dict(model.named_parameters())
    optimizer = torch.optim.SGD(
        [{"params": [params[name] for name in names]} for names in groups], lr=0.1
    )
    return ramet.torch.State(model, optimizer)


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        ([["head.weight"]], r"optimizer had 2 param groups and has 1 here"),
        (
            [["head.weight"], ["body.0.bias"]],
            r"group 1 lacks \['head.bias'\]; optimizer's param group 1 has \['body.0.bias'\]",
        ),
        (
            [["body.0.weight", "head.weight"], ["head.bias"]],
            r"param group 0 has its members in another order, which was \['head.weight'",
        ),
    ],
)
def test_other_param_groups_are_refused(groups: list[list[str]], match: str) -> None:
    saved = written(grouped(["head.weight", "body.0.weight"], ["head.bias"]))
    refused(saved, grouped(*groups), match)


def test_objects_of_other_kinds_or_another_number_are_refused() -> None:
    model = Net()
    optimizer = sgd(model.parameters())
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    with_one = ramet.torch.State(model, optimizer, scheduler)
    kinds = "model: Module, optimizer: SGD, others.0.: StepLR, rng: rng and here are"
    refused(written(with_one), ramet.torch.State(model, optimizer), kinds)
    refused(
        written(with_one), ramet.torch.State(model, adamw(model.parameters()), scheduler), kinds
    )
    refused({"w": 0.0}, with_one, "it was not captured by ramet.torch.State")


class Refuses:
    """An object that does not take what is not its own."""

    def __init__(self, place: int, most: int) -> None:
        self.place, self.most = place, most

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.place = state_dict["place"]
        if self.place > self.most:
            raise ValueError(f"{self.place} is too far")


def test_what_an_object_refuses_is_undone_in_all_of_them() -> None:
    def state(place: int, most: int) -> tuple[ramet.torch.State, dict[str, Any]]:
        model, counts = Net(), {"epoch": place, "seen": np.zeros(place)}
        refuses = Refuses(place, most)
        return ramet.torch.State(model, sgd(model.parameters()), counts, refuses), counts

    there, _ = state(5, most=9)
    here, counts = state(1, most=3)
    refused(written(there), here, r"others\[1\] \(Refuses\) raised ValueError: 5 is too far. Noth")
    assert counts["epoch"] == 1


def test_a_lazy_model_must_be_called_before() -> None:
    lazy = nn.Sequential(nn.LazyLinear(3))
    there = nn.Sequential(nn.Linear(2, 3))
    saved = written(ramet.torch.State(there, sgd(there.parameters())))
    with pytest.raises(StateError, match=r"model's '0.weight' has no shape yet: call the model"):
        ramet.torch.State(lazy, sgd(lazy.parameters())).restore(saved)


@pytest.mark.slow
def test_a_compiled_model_is_not_compiled_again_for_what_is_restored() -> None:
    from torch._dynamo.testing import CompileCounterWithBackend  # noqa: PLC0415 - slow to import

    counter = CompileCounterWithBackend("eager")
    ramet.torch.seed(0)
    training = Training(sgd)
    training.model.forward = torch.compile(training.model.forward, backend=counter)
    training.steps(2)
    saved = written(training.state)
    training.steps(2)
    graphs = counter.frame_count

    training.state.restore(saved)
    training.state.apply({"lr": 0.5, "momentum": 0.1})
    training.steps(2)

    assert graphs > 0
    assert counter.frame_count == graphs


def test_a_checkpoint_is_plain_data() -> None:
    training = Training(adamw)
    training.steps(1)
    found = {type(part).__module__.split(".")[0] for part in _parts(training.state.capture())}
    assert found == {"builtins", "numpy"}


def _parts(tree: Any) -> list[Any]:
    inner = tree.values() if isinstance(tree, dict) else tree
    parts = inner if isinstance(tree, dict | list | tuple) else ()
    return [tree, *(found for part in parts for found in _parts(part))]
