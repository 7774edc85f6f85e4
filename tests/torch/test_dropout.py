"""Dropout reaches every layer of a model that has it, and what it does not reach is named."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import ramet
import ramet.torch
from ramet.errors import HyperparameterOverwritten, StateError, StateWarning
from ramet.state import check_applied
from tests.torch.training import sgd

LAYERS: dict[str, Callable[[float], nn.Module]] = {
    "LSTM": lambda p: nn.LSTM(8, 8, num_layers=3, dropout=p),
    "GRU": lambda p: nn.GRU(8, 8, num_layers=2, dropout=p, bidirectional=True),
    "RNN": lambda p: nn.RNN(8, 8, num_layers=2, dropout=p),
    "MultiheadAttention": lambda p: nn.MultiheadAttention(8, 2, dropout=p),
    "TransformerEncoderLayer": lambda p: nn.TransformerEncoderLayer(8, 2, 16, dropout=p),
    "Transformer": lambda p: nn.Transformer(8, 2, 1, 1, 16, dropout=p, batch_first=True),
    "Dropout": lambda p: nn.Sequential(nn.Linear(8, 8), nn.Dropout(p), nn.AlphaDropout(p)),
}


def output(model: nn.Module) -> torch.Tensor:
    """Return what a model makes of the same input, with the same draws."""
    torch.manual_seed(0)
    x = torch.ones(5, 4, 8)
    inputs = {nn.MultiheadAttention: 3, nn.Transformer: 2}.get(type(model), 1)
    made = model(*[x] * inputs)
    first: torch.Tensor = made[0] if isinstance(made, tuple) else made
    return first


@pytest.mark.parametrize("layer", LAYERS)
def test_the_next_forward_is_that_of_a_model_built_with_the_applied_dropout(layer: str) -> None:
    model, built = LAYERS[layer](0.125), LAYERS[layer](0.5)
    built.load_state_dict(model.state_dict())
    assert not torch.equal(output(model), output(built))

    place = ramet.torch.dropout(model)
    place.write(0.5)

    assert torch.equal(output(model), output(built))
    assert set(place.read()) == {0.5}


def test_a_run_sets_dropout_in_recurrent_and_attention_layers() -> None:
    """Reads what PyTorch's functions are called with, as users' layers call them."""
    space = ramet.Space(dropout=ramet.Uniform(0.0, 0.9))

    def train(session: ramet.Session) -> None:
        ramet.torch.seed(session.seed)
        lstm, attention = nn.LSTM(2, 2, 2), nn.TransformerEncoderLayer(2, 1, 2)
        model = nn.Sequential(lstm, attention)
        bind = {"dropout": ramet.torch.dropout(model)}
        for turn in session.turns(ramet.torch.State(model, sgd(model.parameters()), bind=bind)):
            p = turn.hparams["dropout"]
            assert (lstm.dropout, attention.self_attn.dropout, attention.dropout1.p) == (p, p, p)
            for _ in turn:
                pass
            turn.report(-p)

    strategy = ramet.PBT(population=8, turn_steps=5, synchronous=True)
    assert ramet.run(train, space, strategy, steps=20, mode="max", seed=0).population.copies > 1


def test_a_layer_that_was_set_to_something_else_is_found() -> None:
    model = nn.TransformerEncoderLayer(8, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state = ramet.torch.State(model, optimizer, bind={"dropout": ramet.torch.dropout(model)})
    state.apply({"dropout": 0.5})
    model.self_attn.dropout = 0.25
    with pytest.raises(HyperparameterOverwritten, match=r"'dropout' must stay .* it was 0\.25"):
        check_applied(state, {"dropout": 0.5}, "at the end of the turn")


class Attention(nn.Module):
    """Attention that keeps its probability as a number, as nanoGPT's does."""

    def __init__(self, p: float = 0.2) -> None:
        super().__init__()
        self.dropout = p
        self.resid_dropout = nn.Dropout(p)
        self.n_embd, self.dropping, self.drop_after = 8, True, 40


class DropPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = 0.1


def blocks() -> Any:
    return nn.ModuleDict({"h": nn.ModuleList([Attention(), Attention()]), "path": DropPath()})


def test_numbers_that_look_like_dropout_and_are_not_set_are_named_with_the_remedy() -> None:
    with pytest.warns(StateWarning) as warned:
        place = ramet.torch.dropout(blocks())
    assert str(warned[0].message) == (
        "ramet.torch.dropout sets PyTorch's own layers, and these numbers look like dropout and "
        "stay as they are: ['h.0.dropout = 0.2', 'h.1.dropout = 0.2', 'path.p = 0.1']; to set them "
        "too: ramet.torch.dropout(model, also=['h.*.dropout', 'path.p'])"
    )
    assert warned[0].filename == __file__
    assert len(place.read()) == 2


def test_what_is_not_set_is_named_once_in_each_run_for_all_members() -> None:
    def train(session: ramet.Session) -> None:
        model = blocks()
        bind = {"dropout": ramet.torch.dropout(model)}
        for turn in session.turns(ramet.torch.State(model, bind=bind)):
            for _ in turn:
                pass
            turn.report(turn.hparams["dropout"])

    space = ramet.Space(dropout=ramet.Uniform(0.0, 0.9))
    strategy = ramet.PBT(population=5, turn_steps=1, synchronous=True)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ramet.run(train, space, strategy, steps=2, mode="max", seed=0)
        assert [one.category for one in caught] == [StateWarning]


def test_the_remedy_sets_them_and_says_no_more() -> None:
    model = blocks()
    place = ramet.torch.dropout(model, also=["h.*.dropout", (model["path"], "p")])
    place.write(0.5)
    assert [block.dropout for block in model["h"]] == [0.5, 0.5]
    assert (model["path"].p, model["h"][1].resid_dropout.p) == (0.5, 0.5)
    assert place.read() == [0.5] * 5


def test_a_lone_pattern_stands_for_probabilities_alone() -> None:
    model = blocks()
    place = ramet.torch.dropout(model, also="*")
    place.write(0.5)
    assert [block.dropout for block in model["h"]] == [0.5, 0.5]
    assert (model["h"][0].n_embd, model["h"][0].drop_after) == (8, 40)
    with pytest.raises(StateError, match=r"none is named 'h\.0\.n_embd'"):
        ramet.torch.dropout(blocks(), also="h.0.n_embd")


def test_a_private_number_that_looks_like_dropout_is_named_too() -> None:
    model = nn.Sequential(nn.Dropout(0.1))
    model._dropout, model._scale = 0.2, 0.3  # noqa: SLF001 - as somebody's own module has it
    with pytest.warns(StateWarning, match=r"\['_dropout = 0.2'\]; .* also=\['_dropout'\]"):
        ramet.torch.dropout(model)
    assert ramet.torch.dropout(model, also=["_dropout"]).read() == [0.1, 0.2]


def test_a_model_with_numbers_alone_is_refused_with_their_names() -> None:
    with pytest.raises(StateError, match=r"this DropPath has none; it has .* also=\['p'\]\)"):
        ramet.torch.dropout(DropPath())
    assert ramet.torch.dropout(DropPath(), also=["p"]).read() == [0.1]


@pytest.mark.parametrize(
    ("also", "match"),
    [
        ("h.*.drop", r"none is named 'h.\*.drop'; these look like dropout: \['h.0.dropout'"),
        (3, "or pairs, as in .*, but got 3"),
        ((DropPath(), "q"), r"DropPath has no 'q'; its numbers are \['p'\]"),
    ],
)
def test_what_cannot_be_set_too_is_refused(also: Any, match: str) -> None:
    with pytest.raises(StateError, match=match):
        ramet.torch.dropout(blocks(), also=[also])


def test_a_recurrent_module_of_one_layer_has_no_dropout() -> None:
    model = nn.ModuleList([nn.GRU(4, 4), nn.Dropout()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(ramet.torch.dropout(model).read()) == 1
    with pytest.raises(StateError, match="this GRU has none; bind an attribute"):
        ramet.torch.dropout(nn.GRU(4, 4))


def test_several_places_take_one_value() -> None:
    one, other, seen = nn.Dropout(), nn.Dropout(), list[float]()
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bind = {"p": [(one, "p"), ramet.torch.dropout(other), seen.append, "momentum"]}
    state = ramet.torch.State(model, optimizer, bind=bind)
    state.apply({"p": 0.25})
    assert (one.p, other.p, seen, optimizer.param_groups[0]["momentum"]) == (
        0.25,
        0.25,
        [0.25],
        0.25,
    )
    other.p = 0.5
    with pytest.raises(HyperparameterOverwritten, match=r"'p' must stay .* it was 0\.5"):
        check_applied(state, {"p": 0.25}, "at the end of the turn")
    with pytest.raises(StateError, match="one that 'p' is bound to is None"):
        ramet.torch.State(nn.Linear(1, 1), optimizer, bind={"p": [(one, "p"), None]})
