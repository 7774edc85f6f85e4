"""Tensors become arrays and come back as they were."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ramet.torch
from ramet.errors import StateError
from tests.torch.training import Net, sgd, written

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]
SHAPES = [(), (0,), (3,), (2, 0), (2, 3)]


def holding(*tensors: Any) -> nn.Module:
    """Return a module with these buffers."""
    module = nn.Linear(1, 1)
    for nth, tensor in enumerate(tensors):
        module.register_buffer(f"held{nth}", tensor)
    return module


def state_of(module: nn.Module, *others: Any) -> ramet.torch.State:
    return ramet.torch.State(module, sgd(module.parameters()), *others)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape_comes_back_to_the_bit(dtype: torch.dtype) -> None:
    tensors = [torch.randn(shape).mul(9).to(dtype) for shape in SHAPES]
    there, here = holding(*tensors), holding(*map(torch.zeros_like, tensors))

    state_of(here).restore(written(state_of(there)))

    for nth, tensor in enumerate(tensors):
        found = here.get_buffer(f"held{nth}")
        assert (found.dtype, found.shape) == (dtype, tensor.shape)
        assert torch.equal(found.view(-1).view(torch.uint8), tensor.view(-1).view(torch.uint8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e5m2], ids=str)
def test_capturing_copies_nothing_on_the_cpu(dtype: torch.dtype) -> None:
    tensor = torch.zeros(3, 4, dtype=dtype).t()
    array = state_of(holding(tensor)).capture()["model"]["held0"]
    assert array.ctypes.data == tensor.data_ptr()
    assert array.shape == (4, 3)


def test_views_that_are_not_contiguous_conjugate_or_expanded_come_back_as_their_numbers() -> None:
    tensors = [
        torch.arange(6.0).reshape(2, 3).t(),
        torch.tensor([1 + 2j]).conj(),
        torch.tensor(2.0).expand(3),
        torch.randn(1, 2, 3, 3).to(memory_format=torch.channels_last),
    ]
    saved = written(state_of(holding(*tensors)))
    for nth, tensor in enumerate(tensors):
        assert saved["model"][f"held{nth}"].tolist() == tensor.tolist()


def test_weights_go_into_the_dtype_that_is_there() -> None:
    there, here = Net(), Net().to(torch.bfloat16)
    optimizer = torch.optim.Adam(there.parameters())
    there(torch.randn(4, 4)).sum().backward()
    optimizer.step()

    adam = torch.optim.Adam(here.parameters())
    ramet.torch.State(here, adam).restore(written(ramet.torch.State(there, optimizer)))

    assert torch.equal(here.head.weight, there.head.weight.to(torch.bfloat16))
    remembered = adam.state[here.head.weight]
    assert remembered["exp_avg"].dtype is torch.bfloat16
    assert remembered["step"].dtype is torch.float32


class Tied(nn.Module):
    """A network whose first and last layer are one."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def test_tied_weights_are_one_array_and_stay_tied() -> None:
    there, here = Tied(), Tied()
    saved = written(state_of(there))
    assert saved["model"]["head.weight"] is saved["model"]["embed.weight"]

    state_of(here).restore(saved)
    assert here.head.weight is here.embed.weight
    assert torch.equal(here.head.weight, there.head.weight)


def test_weights_that_were_two_are_not_squeezed_into_one() -> None:
    there = Tied()
    there.head.weight = nn.Parameter(torch.zeros(5, 3))
    here = Tied()
    before = here.head.weight.clone()
    optimizer = torch.optim.SGD([here.embed.weight])
    others = torch.optim.SGD([there.embed.weight])
    saved = written(ramet.torch.State(there, others))
    with pytest.raises(StateError, match=r"'head.weight' and 'embed.weight' were two and are tied"):
        ramet.torch.State(here, optimizer).restore(saved)
    assert torch.equal(here.head.weight, before)


class Knows:
    """An object whose state is whatever it is given."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def state_dict(self) -> dict[str, Any]:
        return {"what": self.what}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.what = state_dict["what"]


LEAVES = [None, True, 3, 2.5, 1j, "text", b"bytes", [1, (2, {"a": None})], {3: "three"}]


@pytest.mark.parametrize("leaf", LEAVES, ids=repr)
def test_leaves_that_are_no_tensors_come_back(leaf: Any) -> None:
    knows = Knows(None)
    state_of(Net(), knows).restore(written(state_of(Net(), Knows(leaf))))
    assert (type(knows.what), knows.what) == (type(leaf), leaf)


def test_kinds_of_numbers_and_sequences_of_others_come_back() -> None:
    knows = Knows(torch.Size([1]))
    state_of(Net(), knows).restore(written(state_of(Net(), Knows(torch.Size([2, 3])))))
    assert type(knows.what) is torch.Size
    assert knows.what == (2, 3)

    knows = Knows(None)
    state_of(Net(), knows).restore(written(state_of(Net(), Knows(np.float32(0.5)))))
    assert type(knows.what) is np.float32


@pytest.mark.parametrize(
    ("leaf", "what"),
    [
        ({1}, r"others\[0\].state_dict\(\)\['what'\] is of type set; let state_dict\(\) leave it"),
        ([0, print], r"\['what'\]\[1\] is of type builtin_function"),
        (torch.eye(2).to_sparse(), r"\['what'\] is sparse or quantised; keep its dense"),
        (torch.zeros(2, device="meta"), r"\['what'\] is on the device 'meta'"),
        (nn.LazyLinear(2).weight, r"\['what'\] has no shape yet; call the model once"),
        (torch.empty(1, dtype=torch.bits8), r"\['what'\] is of torch.bits8"),
    ],
)
def test_what_cannot_be_held_is_named_by_its_place(leaf: Any, what: str) -> None:
    with pytest.raises(StateError, match=what):
        state_of(Net(), Knows(leaf)).capture()


class WithNotes(nn.Module):
    """A module with state that is no tensor."""

    def __init__(self, note: Any) -> None:
        super().__init__()
        self.layer, self.note = nn.Linear(1, 1), note

    def get_extra_state(self) -> Any:
        return self.note

    def set_extra_state(self, state: Any) -> None:
        self.note = state


def test_the_extra_state_of_modules_follows() -> None:
    there, here = WithNotes({"seen": 3, "of": torch.ones(2)}), WithNotes(None)
    state_of(here).restore(written(state_of(there)))
    assert here.note["seen"] == 3
    here.note["of"] += 1  # It is the module's own.
    assert torch.equal(here.layer.weight, there.layer.weight)


def test_without_ml_dtypes_the_extra_that_brings_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = state_of(holding(torch.zeros(1, dtype=torch.bfloat16)))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(StateError, match=r"ml_dtypes.*pip install --upgrade 'ramet\[torch\]'"):
        state.capture()


def test_without_pytorch_the_extra_that_brings_it_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None; import ramet.torch"
    failed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert b"pip install 'ramet[torch]'" in failed.stderr.splitlines()[-1]
