"""Ranges are sets of whole numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contract import ranges

numbers = st.lists(st.integers(0, 60), max_size=40)


def members(found: ranges.Ranges) -> set[int]:
    return {n for first, last in found for n in range(first, last + 1)}


def is_normal(found: ranges.Ranges) -> bool:
    return all(first <= last for first, last in found) and all(
        before[1] + 1 < after[0] for before, after in pairwise(found)
    )


@given(numbers, numbers)
def test_union_difference_and_intersection_are_those_of_sets(one: list[int], other: list[int]) -> None:
    a, b = ranges.of(one), ranges.of(other)
    for found, wanted in (
        (a, set(one)),
        (ranges.united(a, b), {*one, *other}),
        (ranges.minus(a, b), set(one) - set(other)),
        (ranges.common(a, b), set(one) & set(other)),
    ):
        assert members(found) == wanted
        assert is_normal(found)
        assert ranges.size(found) == len(wanted)


@given(st.lists(numbers, max_size=8))
def test_what_is_gathered_is_the_union_and_says_what_came_twice(parts: list[list[int]]) -> None:
    gathered, seen = ranges.Gathered(), set[int]()
    for part in parts:
        twice = {n for n in part if part.count(n) > 1} | (set(part) & seen)
        assert members(gathered.add(part)) == twice
        seen |= set(part)
        assert members(gathered.ranges) == seen
        assert is_normal(gathered.ranges)
