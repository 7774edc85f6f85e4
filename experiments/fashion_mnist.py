"""Fashion-MNIST, as the Debian package ``dataset-fashion-mnist`` installs it."""

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDER = Path("/usr/share/datasets/fashion-mnist")
# The first images of the training set train, the others validate.
TRAINING, VALIDATION = 55_000, 5_000
CLASSES = 10
# Bytes before the data of IDX files.
IMAGES_HEAD, LABELS_HEAD = 16, 8


class Images(NamedTuple):
    """Images with their labels."""

    pixels: NDArray[np.float32]
    labels: NDArray[np.int32]

    def split(self, at: int) -> tuple["Images", "Images"]:
        """Return the images before a place, and the others."""
        return (
            Images(self.pixels[:at], self.labels[:at]),
            Images(self.pixels[at:], self.labels[at:]),
        )


def load(part: str, *, side: int = 28) -> Images:
    """Return "train" or "t10k" images, with a mean of about 0 and a deviation of about 1.

    Args:
        part: The part of the dataset.
        side: Rows and columns of an image: 28, or 14 for means of two by two pixels.
    """
    pixels = _read(f"{part}-images-idx3-ubyte.gz", IMAGES_HEAD).reshape(-1, 28, 28)
    labels = _read(f"{part}-labels-idx1-ubyte.gz", LABELS_HEAD)
    block = 28 // side
    means = pixels.reshape(-1, side, block, side, block).mean(axis=(2, 4), dtype=np.float32) / 255
    return Images((means - np.float32(0.286)) / np.float32(0.35), labels.astype(np.int32))


def draw_labels(images: Images, part: float, *, seed: int) -> Images:
    """Return images of which a part, chosen at random, has labels drawn at random."""
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(images.labels)) < part
    drawn = rng.integers(0, CLASSES, len(images.labels), dtype=np.int32)
    return images._replace(labels=np.where(chosen, drawn, images.labels))


def _read(name: str, head: int) -> NDArray[np.uint8]:
    path = FOLDER / name
    if not path.exists():
        raise SystemExit(
            f"this experiment needs Fashion-MNIST, but there is no {path}: on Debian or Ubuntu, "
            f"apt install dataset-fashion-mnist"
        )
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=head)
