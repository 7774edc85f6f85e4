"""Compiled models are compiled once, whatever dropout is, or it is said that they are not."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

import ramet
import ramet.torch
from ramet.errors import StateError, StateWarning
from ramet.torch.compiling import RECOMPILATIONS
from tests.torch.training import sgd

SPACE = ramet.Space(dropout=ramet.Uniform(0.05, 0.9))


@pytest.fixture(autouse=True)
def compiles_from_nothing() -> Iterator[None]:
    torch._dynamo.reset()  # noqa: SLF001 - where PyTorch has it
    counters.clear()
    yield
    torch._dynamo.reset()  # noqa: SLF001 - as above


class Net(nn.Module):
    """Counts how often its forward runs uncompiled."""

    uncompiled = 0

    def __init__(self) -> None:
        super().__init__()
        self.body, self.dropout, self.head = nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            Net.uncompiled += 1
        return self.head(self.dropout(self.body(x)))


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


def run(net: Net, *, population: int = 12, bind: Any = None) -> ramet.Result:
    """Train many members, each of a dropout of its own, with one compiled network."""
    Net.uncompiled = 0
    compiled = torch.compile(net, backend="aot_eager")
    optimizer = sgd(net.parameters())

    def train(session: ramet.Session) -> None:
        places = bind or {"dropout": ramet.torch.dropout(net)}
        for turn in session.turns(ramet.torch.State(compiled, optimizer, bind=places)):
            for _ in turn:
                optimizer.zero_grad()
                compiled(torch.ones(16, 4)).square().mean().backward()
                optimizer.step()
            turn.report(-turn.hparams["dropout"])

    strategy = ramet.PBT(population=population, turn_steps=2, synchronous=True)
    return ramet.run(train, SPACE, strategy, steps=6, mode="max", seed=0)


def test_a_model_whose_dropout_was_replaced_is_compiled_once_for_all_values() -> None:
    net = Net()
    ramet.torch.replace_dropout(net)
    result = run(net)
    values = {member.hparams["dropout"] for member in result.population.members}
    assert len(values) > 8
    assert (graphs(), Net.uncompiled) == (1, 0)


def test_a_model_that_met_the_limit_is_named_with_the_hyperparameter_and_the_remedy() -> None:
    with pytest.warns(StateWarning, match="runs uncompiled from now on") as warned:
        run(Net())
    assert graphs() == 8
    assert Net.uncompiled > 0
    (said,) = [str(one.message) for one in warned]
    assert "'forward'" in said
    assert __file__ in said
    assert "The hyperparameters ['dropout'] are bound to numbers in modules" in said
    assert "ramet.torch.replace_dropout(model)" in said


def test_a_limit_that_was_met_for_other_reasons_is_named_too() -> None:
    net = Net()
    with pytest.warns(StateWarning, match='TORCH_LOGS="recompiles" says why'):
        run(net, bind={"dropout": lambda value: setattr(net.dropout, "p", value)})


def test_a_limit_met_before_is_not_the_states() -> None:
    compiled, before = torch.compile(net := Net(), backend="eager"), RECOMPILATIONS.count()
    for nth in range(10):
        net.dropout.p = nth / 10
        compiled(torch.ones(1, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ramet.torch.State(net, sgd(net.parameters())).capture()
    assert RECOMPILATIONS.count() == before + 1


@pytest.mark.parametrize("compiled", ["whole", "in place", "a part"])
def test_binding_numbers_in_a_compiled_model_is_warned_of(compiled: str) -> None:
    def make() -> nn.Module:
        net = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
        if compiled == "in place":
            net.compile(backend="eager")
            return net
        made = torch.compile(net, backend="eager")
        return made if compiled == "whole" else nn.Sequential(made)

    model = make()
    path = "0.1.p" if compiled == "a part" else "1.p"
    with pytest.warns(StateWarning, match=rf"gives up .*\['{path}'\]; ramet.torch.replace_dropout"):
        ramet.torch.dropout(model)
    ramet.torch.replace_dropout(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        place = ramet.torch.dropout(model)
    place.write(0.25)
    assert place.read() == [torch.tensor(0.25)]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_the_mean_and_drops_what_its_probability_says(
    dtype: torch.dtype, *, inplace: bool
) -> None:
    torch.manual_seed(0)
    dropout = ramet.torch.Dropout(0.25, inplace)
    x = torch.ones(100_000, dtype=dtype)
    y = dropout(x)
    assert (y is x) == inplace
    assert y.dtype == dtype
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert y.float().mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(dropout.eval()(torch.ones(3)), torch.ones(3))


def test_dropout_of_everything_has_no_gradient_and_no_nan() -> None:
    x = torch.ones(5, requires_grad=True)
    ramet.torch.Dropout(1.0)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0] * 5


def test_dropout_fits_checkpoints_without_it_and_keeps_its_precision() -> None:
    net, replaced = Net(), Net().eval()
    ramet.torch.replace_dropout(replaced)
    replaced.load_state_dict(net.state_dict())
    assert not replaced.dropout.training
    place = ramet.torch.dropout(replaced.bfloat16())
    place.write(0.1)
    assert place.read()[0].item() == pytest.approx(0.1, rel=1e-7)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ramet.torch.Dropout(1.5)


@pytest.mark.parametrize("default", [torch.float16, torch.bfloat16, torch.float64])
def test_a_probability_is_kept_in_32_bits_whatever_the_default_is(default: torch.dtype) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        dropout = ramet.torch.Dropout(0.3)
    finally:
        torch.set_default_dtype(before)
    assert dropout.p.dtype is torch.float32
    assert dropout.p.item() == pytest.approx(0.3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dropping_everything_gives_zeros(dtype: torch.dtype) -> None:
    assert ramet.torch.Dropout(1.0)(torch.ones(8, dtype=dtype)).tolist() == [0.0] * 8


def test_a_model_without_dropout_to_replace_is_refused() -> None:
    for model in (nn.Linear(1, 1), nn.Dropout(0.5)):
        with pytest.raises(StateError, match=r"in it, but this \w+ has none; "):
            ramet.torch.replace_dropout(model)
    net = Net()
    ramet.torch.replace_dropout(net)
    ramet.torch.replace_dropout(net)
    assert isinstance(net.dropout, ramet.torch.Dropout)
