"""Sets of whole numbers as ranges: inclusive, sorted, disjoint, not touching. Small where numbers come in runs."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

Range = tuple[int, int]
Ranges = Sequence[Range]


def of(numbers: Iterable[int]) -> list[Range]:
    """The set of these numbers, in any order, some perhaps twice."""
    return united([(number, number) for number in numbers], ())


def united(one: Iterable[Range], other: Iterable[Range]) -> list[Range]:
    """Both need not be sorted nor disjoint."""
    merged: list[Range] = []
    for first, last in sorted([*one, *other]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged


def minus(one: Ranges, other: Ranges) -> list[Range]:
    """What is in `one` and not in `other`."""
    left = []
    at = 0
    for first, last in one:
        at = max(0, bisect_left(other, (first, first), lo=at) - 1)
        while at < len(other) and other[at][0] <= last:
            taken_first, taken_last = other[at]
            if taken_last >= first:
                if taken_first > first:
                    left.append((first, taken_first - 1))
                first = taken_last + 1
                if first > last:
                    break
            at += 1
        if first <= last:
            left.append((first, last))
    return left


def common(one: Ranges, other: Ranges) -> list[Range]:
    return minus(one, minus(one, other))


def size(ranges: Iterable[Range]) -> int:
    return sum(last - first + 1 for first, last in ranges)


class Gathered:
    """A set that grows by many small additions; says how many of them it had already."""

    def __init__(self) -> None:
        self._ranges: list[Range] = []

    def add(self, numbers: Sequence[int]) -> Ranges:
        """Which of these were there already, or come twice in them."""
        twice = [(a, a) for a, b in pairwise(sorted(numbers)) if a == b]
        fresh = of(numbers)
        again = united(twice, common(fresh, self._ranges))
        if self._ranges and fresh and fresh[0][0] == self._ranges[-1][1] + 1 and len(fresh) == 1:
            self._ranges[-1] = self._ranges[-1][0], fresh[0][1]
        elif self._ranges and fresh and fresh[0][0] > self._ranges[-1][1] + 1:
            self._ranges += fresh
        else:
            self._ranges = united(self._ranges, fresh)
        return again

    @property
    def ranges(self) -> Ranges:
        return self._ranges
