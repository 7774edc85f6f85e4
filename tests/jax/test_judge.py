"""The Inception score, on what a classifier may say."""

import numpy as np
import pytest

from experiments.judge import score_outputs

SURE = 50.0


def test_images_of_all_classes_have_the_highest_score() -> None:
    assert float(score_outputs(SURE * np.eye(10))) == pytest.approx(10.0, rel=1e-5)


def test_images_of_one_class_have_the_lowest_score() -> None:
    assert float(score_outputs(SURE * np.eye(10)[[3, 3, 3, 3]])) == pytest.approx(1.0, rel=1e-5)


def test_images_that_look_like_anything_have_the_lowest_score() -> None:
    assert float(score_outputs(np.zeros((4, 10)))) == pytest.approx(1.0, rel=1e-5)


def test_two_classes_alike_score_two() -> None:
    assert float(score_outputs(SURE * np.eye(10)[[1, 1, 7, 7]])) == pytest.approx(2.0, rel=1e-5)
