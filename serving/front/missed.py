"""Which connections to end: those that are missed least where there are too many, or that leave the most unread."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from typing import Any

from .sockets import Connection, Peer


def least_missed(found: Iterable[Connection], count: int, asked: Container[Peer]) -> list[Connection]:
    """So many connections, or fewer: first those on which nothing ever came, then those of the addresses with the most.

    Of one address, and of addresses with as many, those go first that were silent for the longest.

    Args:
        asked: those that wait for an answer, which stay.
    """
    by_address: defaultdict[str, list[Connection]] = defaultdict(list)
    beside: Counter[str] = Counter()
    for connection in found:
        if connection.peer in asked:
            beside[connection.peer[0]] += 1
        else:
            by_address[connection.peer[0]].append(connection)
    ordered: list[tuple[Any, Connection]] = []
    for address, own in by_address.items():
        own.sort(key=lambda each: (not each.heard, each.silent_ms))
        for place, each in enumerate(own, beside[address]):
            ordered.append(((each.heard, -place, -each.silent_ms), each))
    ordered.sort(key=lambda pair: pair[0])
    return [each for _, each in ordered[: max(0, count)]]


def least_read(found: Iterable[Connection], sent: Mapping[Peer, int], most: int) -> list[Connection]:
    """Those that leave the most unread, so many that all others together leave no more than ``most`` bytes.

    Args:
        sent: bytes that were sent on each.
    """
    unread = [(sent.get(each.peer, 0) - each.taken, each) for each in found]
    unread.sort(key=lambda pair: pair[0])
    left = 0
    for place, (size, _) in enumerate(unread):
        left += max(0, size)
        if left > most:
            return [each for _, each in unread[place:]]
    return []
