"""The corpus, the subwords and the Transformer of the experiment on translation."""

import os
from typing import Any

import numpy as np
import pytest

from experiments import help_texts
from experiments.help_texts import Pair, align, check_count, name_part, split
from experiments.subwords import BEGIN, END, PADDING, UNKNOWN, learn, make_array
from ramet.errors import UsageError
from tests.frameworks import framework, package

framework("jax")

import jax  # noqa: E402 - only where it is installed
from jax import numpy as jnp  # noqa: E402 - as above

from experiments.transformer import (  # noqa: E402 - as above
    DICE,
    DROPOUTS,
    Dropout,
    Sizes,
    count_dice,
    decode,
    init_params,
    loss,
    translate,
)

SENTENCES = ["the red house", "the red mouse", "a house", "the blue house"] * 10
SIZES = Sizes(words=20, width=16, hidden=24, layers=2)
LENGTH = 6


def page(**texts: str) -> str:
    return "\n".join(f'<p id="{name}" class="paragraph">{text}</p>' for name, text in texts.items())


def test_paragraphs_with_the_same_id_are_pairs() -> None:
    english = page(a="Open  <b>it</b>.", b="No other has this.", c="OK", d="A &amp; B")
    german = page(a="Es &ouml;ffnen.", c="OK", d="A &amp;\n C", e="Das hat kein anderer.")
    # What is the same in both languages needs no translation.
    assert align(english, german) == [Pair("Open it.", "Es öffnen."), Pair("A & B", "A & C")]


def test_long_and_empty_paragraphs_are_left_out() -> None:
    long = " ".join(["word"] * (help_texts.MAX_WORDS + 1))
    english, german = page(a=long, b="Short", c="", d="Short"), page(a="Wort", b=long, c="x", d="y")
    assert align(english, german) == [Pair("Short", "y")]


def test_no_english_sentence_is_in_two_parts() -> None:
    files: dict[str, str] = {}
    for nth in range(1000):
        files.setdefault(name_part(f"{nth}.html"), f"{nth}.html")
    assert files.keys() == {"train", "development", "test"}
    found = split(
        {
            files["train"]: [Pair("one", "eins"), Pair("one", "eins"), Pair("one", "ein")],
            files["test"]: [Pair("one", "einer"), Pair("two", "zwei")],
            files["development"]: [Pair("two", "zwo"), Pair("one", "eins"), Pair("three", "drei")],
        }
    )
    assert found.train == [Pair("one", "eins"), Pair("one", "ein")]
    assert found.test == [Pair("two", "zwei")]
    assert found.development == [Pair("three", "drei")]


def test_a_corpus_of_another_size_is_refused() -> None:
    check_count("test", 10, 10, 20)
    with pytest.raises(UsageError, match=r"the test sentences must be 10 to 20, but .* have 21"):
        check_count("test", 21, 10, 20)


@pytest.mark.slow
def test_the_installed_help_texts_are_read() -> None:
    if not (help_texts.FOLDER / help_texts.GERMAN).is_dir():
        reason = f"needs {help_texts.FOLDER}: apt-get install libreoffice-help-de"
        if os.environ.get("CI"):
            raise FileNotFoundError(reason)
        pytest.skip(reason)
    corpus = help_texts.load()
    seen = [{pair.english for pair in part} for part in corpus]
    assert len(set.union(*seen)) == sum(len(each) for each in seen)
    german = " ".join(pair.german for pair in corpus.train).split()
    assert german.count("der") > 10 * german.count("the")


def test_frequent_neighbours_become_one_subword() -> None:
    subwords = learn(SENTENCES, 40)
    assert len(subwords.encode("the house")) == 3  # and the end
    assert len(subwords.encode("the hut")) > 3
    assert len(learn(SENTENCES, 30)) == 30


def test_sentences_are_the_same_once_they_are_decoded() -> None:
    subwords = learn(SENTENCES, 30)
    for sentence in [*SENTENCES, "the house, the mouse"[:9], "bed"]:
        numbers = subwords.encode(sentence)
        assert numbers[-1] == END
        assert subwords.decode([*numbers, PADDING, *numbers]) == sentence
    assert UNKNOWN in subwords.encode("quiz")
    assert subwords.decode(subwords.encode("red q")) == "red ?"


def test_subwords_do_not_depend_on_the_order_of_sentences() -> None:
    assert learn(SENTENCES, 40).pieces == learn(SENTENCES[::-1], 40).pieces


@pytest.fixture(scope="module")
def params() -> Any:
    found = init_params(jax.random.key(1), SIZES)
    # Strong layers, so that what is said depends on more than the word before.
    decoder = jax.tree.map(lambda x: 4.0 * x if x.ndim > 1 else x, found["decoder"])
    return {**found, "decoder": decoder}


@pytest.fixture(scope="module")
def sources() -> Any:
    rows = [[7, 8, 9, END], [5, 4, END], [11, 12, 13, 14, 15, END]]
    return jnp.asarray(make_array(rows, LENGTH))


def test_translations_are_what_the_decoder_finds_likeliest_behind_its_own_words(
    params: Any, sources: Any
) -> None:
    said = translate(params, sources, LENGTH)
    assert len(np.unique(said)) > 4
    begun = jnp.concatenate([jnp.full_like(said[:, :1], BEGIN), said[:, :-1]], axis=1)
    likeliest = decode(params, sources, begun).argmax(axis=-1)
    ended = np.cumsum(said == END, axis=1) - (said == END) > 0
    assert (np.where(ended, PADDING, likeliest) == said).all()


def test_no_place_sees_the_words_behind_it(params: Any, sources: Any) -> None:
    targets = jnp.asarray([[BEGIN, 5, 6, 7, 8, 9]] * 3)
    changed = targets.at[:, 3:].set(12)
    before, after = decode(params, sources, targets), decode(params, sources, changed)
    np.testing.assert_allclose(before[:, :3], after[:, :3], atol=1e-5)
    assert float(jnp.abs(before[:, 3:] - after[:, 3:]).max()) > 1e-3


def test_padding_changes_nothing(params: Any, sources: Any) -> None:
    targets = jnp.asarray([[BEGIN, 5, 6, END]] * 3)
    padded = jnp.pad(sources, ((0, 0), (0, 3)), constant_values=PADDING)
    found = decode(params, padded, targets)
    np.testing.assert_allclose(found, decode(params, sources, targets), atol=1e-5)
    longer = jnp.pad(targets, ((0, 0), (0, 2)), constant_values=PADDING)
    plain = float(loss(params, sources, targets))
    assert float(loss(params, sources, longer)) == pytest.approx(plain, abs=1e-5)


def drop(params: Any, sources: Any, rate: float, kinds: tuple[str, ...], seed: int = 0) -> float:
    rates = {kind: rate if kind in kinds else 0.0 for kind in DROPOUTS}
    dice = jax.random.bits(jax.random.key(seed), (count_dice(params, sources, sources),), DICE)
    return float(loss(params, sources, sources, Dropout(rates, dice)))


@pytest.mark.parametrize("kind", DROPOUTS)
def test_each_dropout_drops_something_of_its_own(params: Any, sources: Any, kind: str) -> None:
    plain = float(loss(params, sources, sources))
    assert drop(params, sources, 0.0, DROPOUTS) == pytest.approx(plain, abs=1e-5)
    assert drop(params, sources, 0.4, (kind,)) != pytest.approx(plain, abs=1e-4)
    others = drop(params, sources, 0.4, (kind,), seed=1)
    assert drop(params, sources, 0.4, (kind,)) != pytest.approx(others, abs=1e-4)


def test_what_is_kept_makes_up_for_what_is_dropped() -> None:
    dice = jax.random.bits(jax.random.key(0), (40_000,), DICE)
    found = Dropout({"relu": 0.3}, dice)("relu", jnp.ones((200, 200)))
    assert float((found == 0).mean()) == pytest.approx(0.3, abs=0.02)
    assert float(found.mean()) == pytest.approx(1.0, abs=0.02)


def test_bleu_is_full_for_the_references_themselves() -> None:
    package("sacrebleu")
    from experiments.translator import measure  # noqa: PLC0415 - see above

    texts = ["the red house", "the blue house or a mouse"]
    subwords = learn([*SENTENCES, *texts * 10], 40)
    said = make_array(map(subwords.encode, texts), 20)
    assert measure(said, texts, subwords) == pytest.approx(100.0)
    assert measure(said[::-1], texts, subwords) < 60
