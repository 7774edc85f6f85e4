"""Random numbers from keys: as many as a step likes, the same wherever it runs."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from scipy import stats

import ramet
import ramet.torch
from ramet.errors import UsageError
from ramet.events import canonical
from ramet.torch.graphs import Replayed, trace
from ramet.torch.keyed import DERIVING, hash_words

Draw: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

# Of the authors of Philox: the first word, the second, the key, and what they become.
KNOWN_ANSWERS = [
    (0x00000000, 0x00000000, 0x00000000, (0xFF1DAE59, 0x6CD10DF2)),
    (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
    (0x243F6A88, 0x85A308D3, 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
]
DRAWS: dict[str, Draw] = {
    "uniform": lambda key: ramet.torch.draw_uniform(key, (3, 5)),
    "normal": lambda key: ramet.torch.draw_normal(key, (3, 5)),
    "integers": lambda key: ramet.torch.draw_integers(key, 1_000, (3, 5)),
    "derived": lambda key: ramet.torch.draw_uniform(ramet.torch.derive_key(key, 1), (3, 5)),
}


def run_at_once(run: Callable[[], None], _: object) -> Callable[[], None]:
    return run


def make_keys(count: int, seed: int = 0) -> torch.Tensor:
    return torch.as_tensor(ramet.torch.draw_keys(np.random.default_rng(seed), count))


@pytest.mark.parametrize(("first", "second", "word", "answer"), KNOWN_ANSWERS)
def test_words_are_those_of_philox(
    first: int, second: int, word: int, answer: tuple[int, int]
) -> None:
    key = np.array(first << 32 | word, np.uint64).astype(np.int64)
    left, right = hash_words(torch.tensor([second]), torch.as_tensor(key), 0)
    assert (left.item(), right.item()) == answer


def test_numbers_are_the_upper_bits_of_words() -> None:
    key = torch.tensor(0)
    words = [0xFF1DAE59, 0x6CD10DF2]
    uniform = ramet.torch.draw_uniform(key, (2,)).double()
    assert uniform.tolist() == [(word >> 8) / 2**24 for word in words]
    whole = ramet.torch.draw_integers(key, 10**9, (2,))
    assert whole.tolist() == [word * 10**9 >> 32 for word in words]


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_members_draw_together_what_they_draw_alone(draw: Draw) -> None:
    keys = make_keys(7)
    together = torch.vmap(draw)(keys)
    assert torch.equal(together, torch.stack([draw(key) for key in keys]))
    assert torch.equal(torch.vmap(draw, chunk_size=2)(keys), together)
    assert len(torch.unique(together, dim=0)) == len(keys)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_steps_that_are_traced_draw_as_those_that_are_not(draw: Draw) -> None:
    keys = make_keys(12).reshape(3, 4)

    def step(states: Any, hparams: Any, drawn: Any) -> Any:
        return {
            "sum": states["sum"] + torch.vmap(draw)(drawn["key"]) * hparams["scale"][:, None, None]
        }

    states, hparams = {"sum": torch.zeros(3, 3, 5)}, {"scale": torch.ones(3)}
    members = states, hparams, {"key": keys}
    traced = Replayed(
        step, lambda its: its["sum"].sum((1, 2)), members, compiled=False, capture=run_at_once
    )
    expected = states
    for nth in range(4):
        expected = step(expected, hparams, {"key": keys[:, nth]})
    assert torch.equal(traced(*members, 4)[0]["sum"], expected["sum"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_compiled_steps_draw_as_those_that_are_not() -> None:
    def draw(key: torch.Tensor) -> dict[str, torch.Tensor]:
        derived = ramet.torch.derive_key(key, 3)
        return {
            "integers": ramet.torch.draw_integers(key, 1_000, (67,)),
            "uniform": ramet.torch.draw_uniform(derived, (67,)),
            "normal": ramet.torch.draw_normal(key, (67,)),
        }

    keys, mapped = make_keys(5), torch.vmap(draw)
    expected, got = mapped(keys), trace(mapped, keys, compiled=True)(keys)
    assert torch.equal(got["integers"], expected["integers"])
    assert torch.equal(got["uniform"], expected["uniform"])
    torch.testing.assert_close(got["normal"], expected["normal"])


def test_uniform_numbers_are_even() -> None:
    drawn = torch.vmap(lambda key: ramet.torch.draw_uniform(key, (100,)))(make_keys(1_000))
    assert 0 <= drawn.min() < 1e-4 < 1 - 1e-4 < drawn.max() < 1
    assert stats.kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    # Those at one place of all keys are even as well, and so are means of a key.
    assert stats.kstest(drawn[:, 0].numpy(), "uniform").pvalue > 1e-3
    means = (drawn.mean(1) - 0.5) * (12 * 100) ** 0.5
    assert stats.kstest(means.numpy(), "norm").pvalue > 1e-3


def test_normal_numbers_are_normal() -> None:
    drawn = torch.vmap(lambda key: ramet.torch.draw_normal(key, (100,)))(make_keys(1_000))
    assert drawn.dtype == torch.float32
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:, 0].numpy(), drawn[:, 1].numpy())[0, 1]) < 0.15


@pytest.mark.parametrize("below", [1, 2, 10, 1_000])
def test_whole_numbers_are_even(below: int) -> None:
    drawn = torch.vmap(lambda key: ramet.torch.draw_integers(key, below, (100,)))(make_keys(1_000))
    assert drawn.dtype == torch.int64
    counts = torch.bincount(drawn.flatten(), minlength=below)
    assert len(counts) == below
    if below > 1:
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_the_greatest_whole_numbers_are_drawn_too() -> None:
    drawn = torch.vmap(lambda key: ramet.torch.draw_integers(key, 2**31, (100,)))(make_keys(100))
    assert 0 <= drawn.min() < 2**20
    assert 2**31 - 2**20 < drawn.max() < 2**31


def philox(first: int, second: int, word: int) -> tuple[int, int]:
    """Return what Philox makes of two words and a key, in whole numbers without bounds."""
    for _ in range(10):
        product = 0xD256D193 * first
        first, second = product >> 32 ^ second ^ word, product & 0xFFFFFFFF
        word = (word + 0x9E3779B9) & 0xFFFFFFFF
    return first, second


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32 - 1])
def test_a_derived_key_is_two_words_of_another_key_of_philox(number: int) -> None:
    for key in make_keys(20):
        bits = key.item() % 2**64
        low, high = philox(bits >> 32, number, bits & 0xFFFFFFFF ^ DERIVING)
        assert ramet.torch.derive_key(key, number).item() % 2**64 == high << 32 | low
        drawn = [philox(bits >> 32, place, bits & 0xFFFFFFFF) for place in range(2)]
        words = [word for pair in zip(*drawn, strict=True) for word in pair]
        expected = [(word >> 8) / 2**24 for word in words]
        assert ramet.torch.draw_uniform(key, (4,)).tolist() == expected
    assert DERIVING


def test_derived_keys_draw_other_numbers() -> None:
    key = torch.tensor(5)
    keys = [key, *(ramet.torch.derive_key(key, number) for number in (0, 1, 2, 2**32 - 1))]
    drawn = torch.stack([ramet.torch.draw_uniform(each, (1_000,)) for each in keys])
    found = np.corrcoef(drawn.numpy())
    assert np.abs(found - np.eye(len(keys))).max() < 0.15
    assert len(torch.unique(drawn)) > 4_990


def test_keys_are_drawn_from_all_words_of_64_bits() -> None:
    keys = make_keys(1_000)
    assert keys.dtype == torch.int64
    assert keys.min() < -(2**62) < 2**62 < keys.max()


def test_a_mask_of_dropout_may_be_drawn_in_a_step() -> None:
    class Dropping:
        def init(self, rng: np.random.Generator) -> Any:
            return {"w": rng.random(8, np.float32)}

        def draw(self, rng: np.random.Generator, steps: int) -> Any:
            return {"key": ramet.torch.draw_keys(rng, steps)}

        def step(self, state: Any, hparams: Any, drawn: Any) -> Any:
            kept = ramet.torch.draw_uniform(drawn["key"], (8,)) < 0.5
            noise = ramet.torch.draw_normal(ramet.torch.derive_key(drawn["key"], 1), (8,))
            return {"w": torch.where(kept, state["w"] + hparams["lr"] * noise, state["w"])}

        def evaluate(self, state: Any) -> Any:
            return state["w"].sum()

    def train(engine: ramet.Engine) -> ramet.Result:
        return ramet.run(
            ramet.torch.Task(Dropping(), device="cpu"),
            ramet.Space(lr=ramet.LogUniform(1e-3, 1.0)),
            ramet.PBT(population=5, turn_steps=4, synchronous=True),
            steps=12,
            mode="max",
            seed=0,
            engine=engine,
        )

    together = train(ramet.Vectorized(progress=False))
    alone = train(ramet.Inline(progress=False))
    assert canonical(together.events) == canonical(alone.events)
    weights = together.final.load()["w"]
    assert len(np.unique(weights)) == 8


@pytest.mark.parametrize("key", [torch.zeros(2, dtype=torch.int64), torch.tensor(0.5), 7])
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(UsageError, match="a key must be a tensor of one whole number of 64 bits"):
        ramet.torch.draw_uniform(key, (3,))
    with pytest.raises(UsageError, match="draw_keys"):
        ramet.torch.derive_key(key, 1)


@pytest.mark.parametrize("number", [-1, 2**32, 0.5, "layer", True])
def test_numbers_that_lead_to_no_key_are_refused(number: Any) -> None:
    with pytest.raises(UsageError, match=r"from 0 to below 2\*\*32"):
        ramet.torch.derive_key(torch.tensor(0), number)


@pytest.mark.parametrize("below", [0, -1, 2**31 + 1, 1.5, True])
def test_bounds_that_cannot_be_kept_are_refused(below: Any) -> None:
    with pytest.raises(UsageError, match="at most 2"):
        ramet.torch.draw_integers(torch.tensor(0), below, (3,))


@pytest.mark.parametrize("shape", [5, (-1,), (2.0,), "ab", None])
def test_shapes_that_cannot_be_are_refused(shape: Any) -> None:
    for draw in (ramet.torch.draw_uniform, ramet.torch.draw_normal):
        with pytest.raises(UsageError, match="a shape must be a tuple of whole numbers"):
            draw(torch.tensor(0), shape)
    assert ramet.torch.draw_uniform(torch.tensor(0), ()).shape == ()
    assert ramet.torch.draw_integers(torch.tensor(0), 5, (0, 2)).shape == (0, 2)
