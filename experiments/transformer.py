"""A small Transformer that translates, in JAX, with three dropouts (Vaswani et al., 2017, 1706.03762).

It is normalised before each part rather than behind, so that it learns without a warm-up as well.
Sentences are rows of numbers with padding behind their end.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax import lax
from jax import numpy as jnp

from experiments.subwords import BEGIN, END, PADDING

# The dropouts of the paper: of what attention reads, of hidden layers, and of what is added.
DROPOUTS = ("attention", "relu", "residual")
HEADS = 4
# Random bits that decide whether a number is dropped.
DICE = jnp.uint8
SIDES = 256
NORM_EPSILON = 1e-6
UNSEEN = -1e9

# Combines an attention's own keys and values with those of earlier places.
Remember = Callable[[int, Any, Any], tuple[Any, Any]]


class Sizes(NamedTuple):
    """How large a Transformer is."""

    words: int
    width: int
    hidden: int
    # Of the encoder, and as many of the decoder.
    layers: int


class Dropout:
    """Drops numbers at given rates, each time others.

    Args:
        rates: The rate of each kind; None drops nothing.
        key: A random key, which is needed with rates.
    """

    def __init__(self, rates: Mapping[str, Any] | None = None, key: Any = None) -> None:
        self._rates, self._key, self._calls = rates, key, 0

    def __call__(self, kind: str, values: Any) -> Any:
        """Return values of which some are 0, and the others larger."""
        if self._rates is None:
            return values
        self._calls += 1
        dropped = jnp.floor(self._rates[kind] * SIDES)
        dice = jax.random.bits(jax.random.fold_in(self._key, self._calls), values.shape, DICE)
        return jnp.where(dice >= dropped, values * (SIDES / (SIDES - dropped)), 0.0)


NOTHING = Dropout()


def init_params(key: Any, sizes: Sizes) -> Any:
    """Return first weights."""
    keys = iter(jax.random.split(key, 1 + 16 * sizes.layers))

    def matrix(rows: int, columns: int) -> Any:
        return jax.random.normal(next(keys), (rows, columns)) * rows**-0.5

    def attention() -> Any:
        square = sizes.width, sizes.width
        names = ("query", "key", "value", "out")
        return {"scale": jnp.ones(sizes.width), **{name: matrix(*square) for name in names}}

    def feed() -> Any:
        return {
            "scale": jnp.ones(sizes.width),
            "in": matrix(sizes.width, sizes.hidden),
            "bias": jnp.zeros(sizes.hidden),
            "out": matrix(sizes.hidden, sizes.width),
        }

    def encoder() -> Any:
        return {"own": attention(), "feed": feed()}

    def decoder() -> Any:
        return {"own": attention(), "source": attention(), "feed": feed()}

    return {
        "words": jax.random.normal(next(keys), (sizes.words, sizes.width)) * sizes.width**-0.5,
        "encoder": [encoder() for _ in range(sizes.layers)],
        "decoder": [decoder() for _ in range(sizes.layers)],
        "encoder_scale": jnp.ones(sizes.width),
        "decoder_scale": jnp.ones(sizes.width),
    }


def encode(params: Any, sources: Any, drop: Dropout = NOTHING) -> Any:
    """Return what the encoder makes of source sentences."""
    visible = (sources != PADDING)[:, None, None, :]
    stream = drop("residual", _embed(params, sources, jnp.arange(sources.shape[1])))
    for layer in params["encoder"]:
        own = _normalise(layer["own"], stream)
        read = _attend(layer["own"], own, _project(layer["own"], own), visible, drop)
        stream += drop("residual", read)
        stream += drop("residual", _feed(layer["feed"], stream, drop))
    return _normalise({"scale": params["encoder_scale"]}, stream)


def decode(params: Any, sources: Any, targets: Any, drop: Dropout = NOTHING) -> Any:
    """Return, at each place of target sentences, the log odds of the next word."""
    encoded, length = encode(params, sources, drop), targets.shape[1]
    visible = jnp.tril(jnp.ones((length, length), bool))[None, None]
    stream = _embed(params, targets, jnp.arange(length))
    return _run_decoder(
        params, stream, _project_sources(params, encoded), sources, visible, _forget, drop
    )


def translate(params: Any, sources: Any, length: int) -> Any:
    """Return translations, in which each word is the likeliest one, with padding behind the end."""
    count, width = len(sources), params["words"].shape[1]
    read = _project_sources(params, encode(params, sources))
    shape = (len(params["decoder"]), count, length, width)

    def say(place: Any, said: Any) -> Any:
        keys, values, words, last, ended = said
        kept = [keys, values]

        def remember(nth: int, key: Any, value: Any) -> tuple[Any, Any]:
            for which, new in enumerate((key, value)):
                at = (nth, 0, place, 0)
                kept[which] = lax.dynamic_update_slice(kept[which], new[None], at)
            return kept[0][nth], kept[1][nth]

        visible = (jnp.arange(length) <= place)[None, None, None, :]
        stream = _embed(params, last[:, None], place[None])
        odds = _run_decoder(params, stream, read, sources, visible, remember, NOTHING)
        word = jnp.where(ended, PADDING, odds[:, 0].argmax(axis=-1)).astype(sources.dtype)
        words = lax.dynamic_update_slice(words, word[:, None], (0, place))
        return kept[0], kept[1], words, word, ended | (word == END)

    first = jnp.full(count, BEGIN, sources.dtype)
    words = jnp.zeros((count, length), sources.dtype)
    nothing = jnp.zeros(shape), jnp.zeros(shape), words, first, jnp.zeros(count, bool)
    return lax.fori_loop(0, length, say, nothing)[2]


def loss(params: Any, sources: Any, targets: Any, drop: Dropout = NOTHING) -> Any:
    """Return the mean negative log likelihood of the words of target sentences."""
    begin = jnp.full_like(targets[:, :1], BEGIN)
    odds = decode(params, sources, jnp.concatenate([begin, targets[:, :-1]], axis=1), drop)
    right = jnp.take_along_axis(odds, targets[..., None], axis=-1)[..., 0]
    counts = targets != PADDING
    return -(right * counts).sum() / counts.sum()


def _run_decoder(
    params: Any,
    stream: Any,
    read: Any,
    sources: Any,
    visible: Any,
    remember: Remember,
    drop: Dropout,
) -> Any:
    """Return log odds of the words behind the places in a stream."""
    readable = (sources != PADDING)[:, None, None, :]
    stream = drop("residual", stream)
    for nth, layer in enumerate(params["decoder"]):
        own = _normalise(layer["own"], stream)
        seen = remember(nth, *_project(layer["own"], own))
        stream += drop("residual", _attend(layer["own"], own, seen, visible, drop))
        asked = _normalise(layer["source"], stream)
        stream += drop("residual", _attend(layer["source"], asked, read[nth], readable, drop))
        stream += drop("residual", _feed(layer["feed"], stream, drop))
    stream = _normalise({"scale": params["decoder_scale"]}, stream)
    return jax.nn.log_softmax(stream @ params["words"].T)


def _forget(_: int, key: Any, value: Any) -> tuple[Any, Any]:
    """Return keys and values of all places, which are known at once where targets are."""
    return key, value


def _project_sources(params: Any, encoded: Any) -> list[Any]:
    return [_project(layer["source"], encoded) for layer in params["decoder"]]


def _project(layer: Any, values: Any) -> tuple[Any, Any]:
    """Return the keys and values of an attention."""
    return values @ layer["key"], values @ layer["value"]


def _attend(layer: Any, asked: Any, seen: tuple[Any, Any], visible: Any, drop: Dropout) -> Any:
    """Return what places read from others, those that are visible to them."""
    query, key, value = (_split(each) for each in (asked @ layer["query"], *seen))
    fit = jnp.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5
    weights = drop("attention", jax.nn.softmax(jnp.where(visible, fit, UNSEEN)))
    read = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
    return read.reshape(asked.shape) @ layer["out"]


def _split(values: Any) -> Any:
    """Return values of each head."""
    return values.reshape(*values.shape[:-1], HEADS, -1)


def _feed(layer: Any, stream: Any, drop: Dropout) -> Any:
    hidden = jax.nn.relu(_normalise(layer, stream) @ layer["in"] + layer["bias"])
    return drop("relu", hidden) @ layer["out"]


def _normalise(layer: Any, stream: Any) -> Any:
    """Return a stream with a root mean square of 1 at each place."""
    square = jnp.mean(stream * stream, axis=-1, keepdims=True)
    return stream * lax.rsqrt(square + NORM_EPSILON) * layer["scale"]


def _embed(params: Any, numbers: Any, places: Any) -> Any:
    """Return words with their places."""
    width = params["words"].shape[1]
    rates = 10_000.0 ** (-jnp.arange(0, width, 2) / width)
    angles = places[:, None] * rates
    waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return params["words"][numbers] * width**0.5 + waves
