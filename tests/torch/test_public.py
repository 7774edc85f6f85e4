"""What is public of PyTorch's room."""

import ramet.torch

PUBLIC = (
    "AdamW Dropout Slot SGD State Task base_lr derive_key draw_integers draw_keys draw_normal "
    "draw_uniform dropout load_model param_group replace_dropout seed"
)


def test_the_public_names_are_these() -> None:
    assert sorted(ramet.torch.__all__) == sorted(PUBLIC.split())
    assert all(hasattr(ramet.torch, name) for name in ramet.torch.__all__)
