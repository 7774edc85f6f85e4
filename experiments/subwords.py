"""Parts of words, learnt from sentences by byte pair encoding (Sennrich et al., 2016, 1508.07909).

The most frequent pair of neighbours becomes one piece, again and again. Both languages share their
pieces.
"""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# The first numbers, which stand for no text.
PADDING, BEGIN, END, UNKNOWN = range(4)
SPECIAL = 4
# Letters that are rarer are unknown.
FEWEST_LETTERS = 10
# A word or a sign, with the space before it.
WORD = re.compile(r" ?\w+| ?[^\w\s]")

Symbols: TypeAlias = tuple[str, ...]
Neighbours: TypeAlias = tuple[str, str]


class Subwords:
    """Turns sentences into numbers of subwords, and back.

    Args:
        pieces: The subwords, letters first, in the order in which they were learnt.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = list(pieces)
        self._ranks = {piece: rank for rank, piece in enumerate(self.pieces)}
        self._words: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return SPECIAL + len(self.pieces)

    def encode(self, sentence: str) -> list[int]:
        """Return the numbers of a sentence, and the one for its end."""
        words = WORD.findall(sentence)
        return [number for word in words for number in self._encode_word(word)] + [END]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the sentence before the end; what is unknown becomes "?"."""
        found: list[str] = []
        for number in numbers:
            if number == END:
                break
            found.append(self.pieces[number - SPECIAL] if number >= SPECIAL else "?")
        return " ".join("".join(found).split())

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._words:
            symbols = tuple(word)
            while len(symbols) > 1:
                # The piece that was learnt first is joined first.
                ranks = [self._ranks.get(a + b, len(self.pieces)) for a, b in pairwise(symbols)]
                if min(ranks) == len(self.pieces):
                    break
                piece = self.pieces[min(ranks)]
                symbols = _join(symbols, piece)
            numbers = [self._ranks.get(symbol, UNKNOWN - SPECIAL) + SPECIAL for symbol in symbols]
            self._words[word] = numbers
        return self._words[word]


def learn(sentences: Iterable[str], size: int) -> Subwords:
    """Learn subwords from sentences.

    Args:
        sentences: The sentences, of all languages.
        size: How many there are, with the four numbers that stand for no text.
    """
    counts = Counter(word for sentence in sentences for word in WORD.findall(sentence))
    letters: Counter[str] = Counter()
    for word, count in counts.items():
        for letter in word:
            letters[letter] += count
    pieces = dict.fromkeys(sorted(each for each in letters if letters[each] >= FEWEST_LETTERS))
    spelt = {word: tuple(word) for word in counts}
    pairs, users = _count_pairs(spelt, counts)
    # Among equals the first in the alphabet, so that the order of sentences does not matter. Counts
    # that have changed since are in it as well.
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    while heap and len(pieces) + SPECIAL < size:
        count, pair = heapq.heappop(heap)
        if count != -pairs[pair] or not count:
            continue
        piece = "".join(pair)
        pieces[piece] = None
        changed: set[Neighbours] = set()
        for word in users.pop(pair):
            before, after = spelt[word], _join(spelt[word], piece)
            for old in pairwise(before):
                pairs[old] -= counts[word]
            for new in pairwise(after):
                pairs[new] += counts[word]
                users[new].add(word)
            changed.update(pairwise(before), pairwise(after))
            spelt[word] = after
        for each in changed:
            heapq.heappush(heap, (-pairs[each], each))
    return Subwords(list(pieces))


def make_array(sentences: Iterable[Sequence[int]], length: int) -> NDArray[np.int32]:
    """Return numbers as rows of one length, with padding behind the end."""
    rows = [list(numbers) + [PADDING] * (length - len(numbers)) for numbers in sentences]
    return np.array(rows, np.int32)


def _count_pairs(
    spelt: dict[str, Symbols], counts: Counter[str]
) -> tuple[Counter[Neighbours], dict[Neighbours, set[str]]]:
    """Return how often symbols are neighbours, and in which words."""
    pairs: Counter[Neighbours] = Counter()
    users: dict[Neighbours, set[str]] = defaultdict(set)
    for word, symbols in spelt.items():
        for pair in pairwise(symbols):
            pairs[pair] += counts[word]
            users[pair].add(word)
    return pairs, users


def _join(symbols: Symbols, piece: str) -> Symbols:
    """Return symbols with neighbours that make up a piece as one."""
    joined: list[str] = []
    for symbol in symbols:
        if joined and joined[-1] + symbol == piece:
            joined[-1] = piece
        else:
            joined.append(symbol)
    return tuple(joined)
