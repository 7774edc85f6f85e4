"""A Transformer that learns to translate by Adam, and is scored by BLEU."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray

from experiments.help_texts import Pair
from experiments.subwords import Subwords, make_array
from experiments.transformer import (
    DICE,
    DROPOUTS,
    Dropout,
    Sizes,
    count_dice,
    init_params,
    loss,
    translate,
)

# A program that waits for the host keeps a thread of JAX, and there are as many as there are cores:
# on one core, JAX would have none left to hand the host what it waits for.
jax.config.update("jax_cpu_enable_async_dispatch", val=False)  # type: ignore[no-untyped-call] # JAX's

# Of Adam, as in the Transformer's paper.
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.98, 1e-9


class Sentences(NamedTuple):
    """Pairs of sentences in numbers, and the German ones as text."""

    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    references: list[str]


def encode_pairs(pairs: Sequence[Pair], subwords: Subwords, length: int) -> Sentences:
    """Return the pairs of which both sentences have at most ``length`` subwords."""
    both = [
        (subwords.encode(pair.english), subwords.encode(pair.german), pair.german) for pair in pairs
    ]
    fitting = [each for each in both if max(len(each[0]), len(each[1])) <= length]
    return Sentences(
        make_array([source for source, _, _ in fitting], length),
        make_array([target for _, target, _ in fitting], length),
        [german for _, _, german in fitting],
    )


class Translator:
    """A Transformer with the hyperparameters ``lr``, ``attention``, ``relu`` and ``residual``.

    Args:
        train: What it learns from.
        score: What it is scored by.
        subwords: What numbers stand for.
        sizes: How large it is.
        batch: How many pairs a step takes.
    """

    def __init__(
        self, train: Sentences, score: Sentences, subwords: Subwords, sizes: Sizes, batch: int
    ) -> None:
        self._sources, self._targets = jnp.asarray(train.sources), jnp.asarray(train.targets)
        self._score, self._subwords, self._sizes, self._batch = score, subwords, sizes, batch

    def init(self, key: Any) -> Any:
        """Return a first state."""
        params = init_params(key, self._sizes)
        nothing = jax.tree.map(jnp.zeros_like, params)
        return {"params": params, "mean": nothing, "square": nothing, "steps": jnp.zeros(())}

    def step(self, state: Any, hparams: Any, steps: int, key: Any) -> Any:
        """Train for some steps."""
        rates = {kind: hparams[kind] for kind in DROPOUTS}

        def one(nth: Any, state: Any) -> Any:
            choosing, dropping = jax.random.split(jax.random.fold_in(key, nth))
            batch = jax.random.randint(choosing, (self._batch,), 0, len(self._sources))
            pairs = self._sources[batch], self._targets[batch]
            dice = jax.random.bits(dropping, (count_dice(state["params"], *pairs),), DICE)
            slopes = jax.grad(loss)(state["params"], *pairs, Dropout(rates, dice))
            return descend(state, slopes, hparams["lr"])

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state: Any) -> Any:
        """Return BLEU in percent. sacrebleu counts words on the host, for all members at once."""
        length = self._score.targets.shape[1]
        said = translate(state["params"], jnp.asarray(self._score.sources), length)
        return jax.pure_callback(self._measure, jnp.float32(0), said, vmap_method="expand_dims")

    def test(self, params: Any, sentences: Sentences) -> float:
        """Return the BLEU of weights on other sentences, in percent."""
        said = jax.jit(translate, static_argnames="length")(
            params, jnp.asarray(sentences.sources), length=sentences.targets.shape[1]
        )
        return measure(np.asarray(said), sentences.references, self._subwords)

    def _measure(self, said: Any) -> NDArray[np.float32]:
        said = np.asarray(said)
        members = said.reshape(-1, *said.shape[-2:])
        found = [measure(each, self._score.references, self._subwords) for each in members]
        return np.array(found, np.float32).reshape(said.shape[:-2])


def descend(state: Any, slopes: Any, lr: Any) -> Any:
    """Return the state after a step of Adam."""
    steps = state["steps"] + 1
    mean = jax.tree.map(lambda m, s: MEAN_DECAY * m + (1 - MEAN_DECAY) * s, state["mean"], slopes)
    square = jax.tree.map(
        lambda v, s: SQUARE_DECAY * v + (1 - SQUARE_DECAY) * s * s, state["square"], slopes
    )
    rate = lr / (1 - MEAN_DECAY**steps)
    scale = 1 / (1 - SQUARE_DECAY**steps)
    params = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(scale * v) + EPSILON),
        state["params"],
        mean,
        square,
    )
    return {"params": params, "mean": mean, "square": square, "steps": steps}


def measure(said: NDArray[np.int32], references: Sequence[str], subwords: Subwords) -> float:
    """Return the BLEU of translations in percent, as sacrebleu defines it."""
    try:
        import sacrebleu  # noqa: PLC0415 - says how to install it
    except ImportError:
        raise SystemExit("this experiment needs sacrebleu: make .venv/experiments") from None
    translations = [subwords.decode(each) for each in said.tolist()]
    return float(sacrebleu.corpus_bleu(translations, [list(references)]).score)
