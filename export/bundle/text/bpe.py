"""Byte-pair encoding of one word: its symbols, its merges, and learning merges from a corpus."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import pairwise

from ..errors import InvalidQuery
from .cleaning import clean, split

END_OF_WORD = "</w>"

Merge = tuple[str, str]

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = tuple(byte for byte in range(256) if byte not in _PRINTABLE)

# Each byte as one printable character, in the order in which the vocabulary numbers them.
BYTE_SYMBOLS: Mapping[int, str] = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(256 + place) for place, byte in enumerate(_OTHERS)
}


def spell(word: str) -> list[str]:
    """A word's UTF-8 bytes as symbols; the last one carries the end of the word."""
    symbols = [BYTE_SYMBOLS[byte] for byte in word.encode("utf-8")]
    symbols[-1] += END_OF_WORD
    return symbols


def merge(symbols: Sequence[str], ranks: Mapping[Merge, int]) -> list[str]:
    """Merge neighbours, lowest rank first and each rank from left to right, until no pair has a rank.

    Takes O(n log n) for n symbols: a word of 64 kB is one query, and the textbook loop is quadratic in it.
    """
    parts = list(symbols)
    end = len(parts)
    before, after = list(range(-1, end - 1)), list(range(1, end + 1))
    places: defaultdict[int, list[int]] = defaultdict(list)
    queue: list[int] = []

    def rank_at(left: int) -> int | None:
        right = after[left]
        return ranks.get((parts[left], parts[right])) if right < end else None

    def offer(left: int) -> None:
        rank = rank_at(left)
        if rank is not None:
            if rank not in places:
                heappush(queue, rank)
            places[rank].append(left)

    for left in range(end):
        offer(left)
    while queue:
        rank = heappop(queue)
        for left in sorted(places.pop(rank)):
            if rank_at(left) != rank:
                continue
            right = after[left]
            parts[left] += parts[right]
            parts[right] = ""
            after[left] = after[right]
            if after[right] < end:
                before[after[right]] = left
            offer(left)
            if before[left] >= 0:
                offer(before[left])
    return [part for part in parts if part]


def learn_merges(corpus: Iterable[str], size: int) -> list[str]:
    """The merges of a vocabulary of its own for a small model, learned from texts.

    Args:
        corpus: texts, cleaned and split as queries are; those of which nothing is left are skipped.
        size: number of merges at most; learning stops earlier when no pair occurs twice.

    Returns:
        One line ``left right`` per merge, most frequent pair first; pairs that occur equally often are taken in the
        order of their symbols, so the same corpus always gives the same merges.
    """
    counts = Counter(word for text in corpus for word in _words(text))
    words = [spell(word) for word in counts]
    weights = list(counts.values())
    frequency: Counter[Merge] = Counter()
    users: defaultdict[Merge, set[int]] = defaultdict(set)
    for index, symbols in enumerate(words):
        for pair in pairwise(symbols):
            frequency[pair] += weights[index]
            users[pair].add(index)
    merges: list[str] = []
    while len(merges) < size and frequency:
        best = min(frequency, key=lambda pair: (-frequency[pair], pair))
        if frequency[best] < 2:
            break
        merges.append(" ".join(best))
        for index in users.pop(best):
            old, new = words[index], merge(words[index], {best: 0})
            words[index] = new
            for pair in pairwise(old):
                frequency[pair] -= weights[index]
            for pair in pairwise(new):
                frequency[pair] += weights[index]
                users[pair].add(index)
        # Pairs that fell to zero would only slow down the search for the best.
        frequency = +frequency
    return merges


def _words(text: str) -> Iterable[str]:
    try:
        return split(clean(text))
    except InvalidQuery:
        return ()
