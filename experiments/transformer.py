"""A small Transformer that translates, in JAX (Vaswani et al., 2017, 1706.03762).

It is normalised before each part rather than behind, so that it learns without a warm-up as well.
Sentences are rows of numbers with padding behind their end.
"""

import functools
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
# Drops some of the values of a kind.
Drop = Callable[[str, Any], Any]


class Sizes(NamedTuple):
    """How large a Transformer is."""

    words: int
    width: int
    hidden: int
    # Of the encoder, and as many of the decoder.
    layers: int


class Read(NamedTuple):
    """What a decoder reads from source sentences."""

    # The keys and values of each layer.
    layers: list[tuple[Any, Any]]
    # Where there is no padding.
    readable: Any


class Dropout:
    """Drops numbers at given rates.

    Args:
        rates: The rate of each kind.
        dice: A random number for each one that may be dropped; ``count_dice`` says how many. They
            are drawn together, because JAX takes seconds to compile each call that draws.
    """

    def __init__(self, rates: Mapping[str, Any], dice: Any) -> None:
        self._rates, self._dice, self._used = rates, dice, 0

    def __call__(self, kind: str, values: Any) -> Any:
        """Return values of which some are 0, and the others larger."""
        first, self._used = self._used, self._used + values.size
        dice = self._dice[first : self._used].reshape(values.shape)
        dropped = jnp.floor(self._rates[kind] * SIDES)
        return jnp.where(dice >= dropped, values * (SIDES / (SIDES - dropped)), 0.0)


def keep_all(_: str, values: Any) -> Any:
    """Drop nothing."""
    return values


def count_dice(params: Any, sources: Any, targets: Any) -> int:
    """Return how many numbers may be dropped in a training step."""
    count = 0

    def drop(_: str, values: Any) -> Any:
        nonlocal count
        count += values.size
        return values

    jax.eval_shape(functools.partial(loss, drop=drop), params, sources, targets)
    return count


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


def encode(params: Any, sources: Any, drop: Drop = keep_all) -> Any:
    """Return what the encoder makes of source sentences."""
    visible = (sources != PADDING)[:, None, None, :]
    stream = drop("residual", _embed(params, sources, jnp.arange(sources.shape[1])))
    for layer in params["encoder"]:
        own = _normalise(layer["own"], stream)
        read = _attend(layer["own"], own, _project(layer["own"], own), visible, drop)
        stream += drop("residual", read)
        stream += drop("residual", _feed(layer["feed"], stream, drop))
    return _normalise({"scale": params["encoder_scale"]}, stream)


def decode(params: Any, sources: Any, targets: Any, drop: Drop = keep_all) -> Any:
    """Return, at each place of target sentences, the log odds of the next word."""
    encoded, length = encode(params, sources, drop), targets.shape[1]
    visible = jnp.tril(jnp.ones((length, length), bool))[None, None]
    stream = _embed(params, targets, jnp.arange(length))
    return _run_decoder(
        params,
        stream,
        _read_sources(params, sources, encoded),
        visible=visible,
        remember=_forget,
        drop=drop,
    )


def translate(params: Any, sources: Any, length: int) -> Any:
    """Return translations, in which each word is the likeliest one, with padding behind the end."""
    count, width = len(sources), params["words"].shape[1]
    read = _read_sources(params, sources, encode(params, sources))
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
        odds = _run_decoder(params, stream, read, visible=visible, remember=remember, drop=keep_all)
        word = jnp.where(ended, PADDING, odds[:, 0].argmax(axis=-1)).astype(sources.dtype)
        words = lax.dynamic_update_slice(words, word[:, None], (0, place))
        return kept[0], kept[1], words, word, ended | (word == END)

    first = jnp.full(count, BEGIN, sources.dtype)
    words = jnp.zeros((count, length), sources.dtype)
    nothing = jnp.zeros(shape), jnp.zeros(shape), words, first, jnp.zeros(count, bool)
    return lax.fori_loop(0, length, say, nothing)[2]


def loss(params: Any, sources: Any, targets: Any, drop: Drop = keep_all) -> Any:
    """Return the mean negative log likelihood of the words of target sentences."""
    begin = jnp.full_like(targets[:, :1], BEGIN)
    odds = decode(params, sources, jnp.concatenate([begin, targets[:, :-1]], axis=1), drop)
    right = jnp.take_along_axis(odds, targets[..., None], axis=-1)[..., 0]
    counts = targets != PADDING
    return -(right * counts).sum() / counts.sum()


def _run_decoder(
    params: Any,
    stream: Any,
    read: Read,
    *,
    visible: Any,
    remember: Remember,
    drop: Drop,
) -> Any:
    """Return log odds of the words behind the places in a stream."""
    stream = drop("residual", stream)
    for nth, layer in enumerate(params["decoder"]):
        own = _normalise(layer["own"], stream)
        seen = remember(nth, *_project(layer["own"], own))
        stream += drop("residual", _attend(layer["own"], own, seen, visible, drop))
        asked = _normalise(layer["source"], stream)
        stream += drop(
            "residual", _attend(layer["source"], asked, read.layers[nth], read.readable, drop)
        )
        stream += drop("residual", _feed(layer["feed"], stream, drop))
    stream = _normalise({"scale": params["decoder_scale"]}, stream)
    return jax.nn.log_softmax(stream @ params["words"].T)


def _forget(_: int, key: Any, value: Any) -> tuple[Any, Any]:
    """Return keys and values of all places, which are known at once where targets are."""
    return key, value


def _read_sources(params: Any, sources: Any, encoded: Any) -> Read:
    layers = [_project(layer["source"], encoded) for layer in params["decoder"]]
    return Read(layers, (sources != PADDING)[:, None, None, :])


def _project(layer: Any, values: Any) -> tuple[Any, Any]:
    """Return the keys and values of an attention."""
    return values @ layer["key"], values @ layer["value"]


def _attend(layer: Any, asked: Any, seen: tuple[Any, Any], visible: Any, drop: Drop) -> Any:
    """Return what places read from others, those that are visible to them."""
    query, key, value = (_split(each) for each in (asked @ layer["query"], *seen))
    fit = jnp.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5
    weights = drop("attention", jax.nn.softmax(jnp.where(visible, fit, UNSEEN)))
    read = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
    return read.reshape(asked.shape) @ layer["out"]


def _split(values: Any) -> Any:
    """Return values of each head."""
    return values.reshape(*values.shape[:-1], HEADS, -1)


def _feed(layer: Any, stream: Any, drop: Drop) -> Any:
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
