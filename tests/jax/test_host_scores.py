"""Scores that JAX cannot trace, which are counted on the host by a callback."""

from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import ramet
import ramet.jax
from tests.engine.loops import pbt
from tests.engine.stacked import decisions, scores
from tests.jax.tasks import SPACE, Bowl


class Counted(Bowl):
    """A bowl whose score is counted from text, as BLEU is."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def evaluate(self, state: dict[str, Any]) -> jax.Array:
        like = jax.ShapeDtypeStruct((), jnp.float32)
        return jax.pure_callback(self.count, like, state["w"], vmap_method="expand_dims")

    def count(self, weights: Any) -> np.ndarray:
        weights = np.asarray(weights)
        self.shapes.add(weights.shape)
        words = [[f"{weight:.4f}" for weight in row] for row in weights.reshape(-1, 3).tolist()]
        found = [-sum(abs(float(word)) for word in each) for each in words]
        return np.array(found, np.float32).reshape(weights.shape[:-1])


def train(task: Counted, engine: ramet.Engine | None) -> ramet.Result:
    strategy = pbt(synchronous=True, evaluate_every=2)
    return ramet.run(
        ramet.jax.Task(task), SPACE, strategy, steps=32, mode="max", seed=0, engine=engine
    )


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_score_from_the_host_decides_as_it_does_one_by_one(chunk: int) -> None:
    together, alone = Counted(), Counted()
    result, one_by_one = train(together, ramet.Vectorized(chunk=chunk)), train(alone, None)
    assert decisions(result) == decisions(one_by_one)
    assert scores(result.events) == pytest.approx(scores(one_by_one.events), abs=1e-3)
    assert alone.shapes == {(3,)}
    assert together.shapes == {(3,) if chunk == 1 else (chunk, 3)}


class Broken(Counted):
    def count(self, weights: Any) -> np.ndarray:
        raise ValueError("no word is known")


@pytest.mark.parametrize("engine", [None, ramet.Vectorized(chunk=3)])
def test_what_a_callback_raises_is_named(engine: ramet.Engine | None) -> None:
    with pytest.raises(Exception, match="no word is known"):
        train(Broken(), engine)
