"""A small DCGAN in JAX, scored by the Inception score of what it draws (Radford et al., 2015).

Each step trains the discriminator with one batch and then the generator, both by Adam. Layers are
convolutions of ``ramet.jax.conv``, which stay fast when members are trained together.
"""

from typing import Any

import jax
from jax import numpy as jnp

import ramet.jax
from experiments.judge import score_images

NOISE, BATCH = 32, 32
# Channels of the generator's two hidden images, which are 7 by 7 and 14 by 14.
SMALL, LARGE = 32, 16
# Channels of the discriminator's two hidden images, which are 7 by 7 and 4 by 4.
NEAR, FAR = 16, 32
# Of Adam, as DCGANs are trained; the first is lower than usual.
BETAS, TINY = (0.5, 0.999), 1e-8
LEAK, NORM_TINY = 0.2, 1e-5


class DCGAN:
    """A generator of images of 14 by 14 pixels from -1 to 1, and its discriminator.

    Its hyperparameters are ``generator_lr`` and ``discriminator_lr``.

    Args:
        images: What it is to draw, ``(images, 14, 14, 1)``.
        judge: The weights of the classifier that scores.
        drawn: How many images a score is of.
    """

    def __init__(self, images: Any, judge: Any, drawn: int) -> None:
        self._images, self._judge = jnp.asarray(images), judge
        # The same for all members, so that scores differ by their weights alone.
        self._noise = jax.random.normal(jax.random.key(0), (drawn, NOISE))

    def init(self, key: Any) -> Any:
        """Return a first state."""
        keys = jax.random.split(key)
        nets = {
            "generator": _make_generator(keys[0]),
            "discriminator": _make_discriminator(keys[1]),
        }
        return {"nets": nets, "adam": {name: _begin_adam(net) for name, net in nets.items()}}

    def step(self, state: Any, hparams: Any, steps: int, key: Any) -> Any:
        """Train for some steps."""
        rates = {name: hparams[f"{name}_lr"] for name in state["nets"]}

        def one(nth: Any, state: Any) -> Any:
            keys = jax.random.split(jax.random.fold_in(key, nth), 3)
            real = self._images[jax.random.randint(keys[0], (BATCH,), 0, len(self._images))]
            noises = jax.random.normal(keys[1], (2, BATCH, NOISE))
            nets, adam = dict(state["nets"]), dict(state["adam"])
            for name, lose, noise in (
                ("discriminator", _lose_to_fakes, noises[0]),
                ("generator", _lose_to_critic, noises[1]),
            ):
                slopes = jax.grad(lose)(nets[name], nets, real, noise)
                nets[name], adam[name] = _descend(nets[name], adam[name], slopes, rates[name])
            return {"nets": nets, "adam": adam}

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state: Any) -> Any:
        """Return the Inception score of images from the same noise each time."""
        return score_images(self._judge, generate(state["nets"]["generator"], self._noise))


def generate(net: Any, noise: Any) -> Any:
    """Return images that a generator draws from noise."""
    small = (noise @ net["dense"]).reshape(-1, 7, 7, SMALL)
    hidden = jax.nn.relu(_normalise(small, net["small"]))
    hidden = ramet.jax.conv(_double(hidden), net["middle"])
    hidden = jax.nn.relu(_normalise(hidden, net["large"]))
    return jnp.tanh(ramet.jax.conv(hidden, net["last"]) + net["bias"])


def _criticise(net: Any, images: Any) -> Any:
    """Return how real images look: the logits of a discriminator."""
    hidden = jax.nn.leaky_relu(ramet.jax.conv(images, net["near"], 2), LEAK)
    hidden = ramet.jax.conv(hidden, net["far"], 2)
    hidden = jax.nn.leaky_relu(_normalise(hidden, net["norm"]), LEAK)
    return hidden.reshape(len(images), -1) @ net["dense"] + net["bias"]


def _lose_to_fakes(net: Any, nets: Any, real: Any, noise: Any) -> Any:
    """Return the loss of a discriminator."""
    fakes = _criticise(net, generate(nets["generator"], noise))
    return jax.nn.softplus(-_criticise(net, real)).mean() + jax.nn.softplus(fakes).mean()


def _lose_to_critic(net: Any, nets: Any, real: Any, noise: Any) -> Any:
    """Return the loss of a generator."""
    del real
    return jax.nn.softplus(-_criticise(nets["discriminator"], generate(net, noise))).mean()


def _make_generator(key: Any) -> dict[str, Any]:
    keys = jax.random.split(key, 3)
    return {
        "dense": _draw(keys[0], (NOISE, 7 * 7 * SMALL)),
        "small": _make_norm(SMALL),
        "middle": _draw(keys[1], (3, 3, SMALL, LARGE)),
        "large": _make_norm(LARGE),
        "last": _draw(keys[2], (3, 3, LARGE, 1)),
        "bias": jnp.zeros(()),
    }


def _make_discriminator(key: Any) -> dict[str, Any]:
    keys = jax.random.split(key, 3)
    return {
        "near": _draw(keys[0], (4, 4, 1, NEAR)),
        "far": _draw(keys[1], (4, 4, NEAR, FAR)),
        "norm": _make_norm(FAR),
        "dense": _draw(keys[2], (4 * 4 * FAR,)),
        "bias": jnp.zeros(()),
    }


def _draw(key: Any, shape: tuple[int, ...]) -> Any:
    # The deviation that DCGANs begin with.
    return 0.02 * jax.random.normal(key, shape)


def _make_norm(channels: int) -> dict[str, Any]:
    return {"scale": jnp.ones(channels), "shift": jnp.zeros(channels)}


def _normalise(hidden: Any, norm: Any) -> Any:
    """Normalise each channel over the batch, which is that of training and of drawing alike."""
    mean, variance = hidden.mean(axis=(0, 1, 2)), hidden.var(axis=(0, 1, 2))
    return (hidden - mean) * jax.lax.rsqrt(variance + NORM_TINY) * norm["scale"] + norm["shift"]


def _double(images: Any) -> Any:
    """Make two by two pixels of each."""
    return jnp.repeat(jnp.repeat(images, 2, axis=1), 2, axis=2)


def _begin_adam(net: Any) -> dict[str, Any]:
    zeros = jax.tree.map(jnp.zeros_like, net)
    return {"mean": zeros, "square": zeros, "steps": jnp.zeros(())}


def _descend(net: Any, adam: Any, slopes: Any, rate: Any) -> tuple[Any, Any]:
    """Return weights and Adam's state after a step."""
    (slow, slower), steps = BETAS, adam["steps"] + 1
    mean = jax.tree.map(lambda m, s: slow * m + (1 - slow) * s, adam["mean"], slopes)
    square = jax.tree.map(lambda q, s: slower * q + (1 - slower) * s**2, adam["square"], slopes)

    def move(weight: Any, m: Any, q: Any) -> Any:
        scale = jnp.sqrt(q / (1 - slower**steps)) + TINY
        return weight - rate * m / (1 - slow**steps) / scale

    after = {"mean": mean, "square": square, "steps": steps}
    return jax.tree.map(move, net, mean, square), after
