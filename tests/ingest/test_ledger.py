"""The ledger against sets of integers, and the few things a set cannot say."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contract.clocks import Skew
from contract.ports import LedgerRow
from ingest.ledger import BOOTS_MAX, GONE_MAX, RANGES_MAX, SKEWS_MAX, STREAMS_MAX, Ledger, Stream

SEQS = st.integers(1, 60)


def members(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {seq for first, last in ranges for seq in range(first, last + 1)}


def is_tidy(ranges: tuple[tuple[int, int], ...]) -> bool:
    """Sorted, disjoint, not touching."""
    return all(first <= last for first, last in ranges) and all(
        before[1] + 1 < after[0] for before, after in pairwise(ranges)
    )


class LedgerAgainstSets(RuleBasedStateMachine):
    """A stream says at every step what two sets of integers say."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream("lamp-1", "9f3c01aa")
        self.had: set[int] = set()
        self.gone: set[int] = set()

    @rule(first=SEQS, length=st.integers(0, 8))
    def add(self, first: int, length: int) -> None:
        self.stream.add(first, first + length)
        self.had |= set(range(first, first + length + 1))
        self.gone -= self.had

    @rule(oldest=SEQS)
    def say_oldest(self, oldest: int) -> None:
        news = set(range(1, oldest)) - self.had - self.gone
        assert self.stream.add_gone(oldest) == len(news)
        self.gone |= news

    @rule()
    def save_and_load(self) -> None:
        self.stream = Stream.from_row(self.stream.row())

    @rule(seq=SEQS)
    def copy_and_change_the_copy(self, seq: int) -> None:
        twin = self.stream.copy()
        twin.add(seq, seq + 20)
        twin.add_gone(seq)

    @invariant()
    def agrees(self) -> None:
        stream, row = self.stream, self.stream.row()
        assert is_tidy(row.have)
        assert is_tidy(row.gone)
        assert members(row.have) == self.had
        assert members(row.gone) == self.gone
        known = self.had | self.gone
        missing = set(range(1, max(known, default=0))) - known
        assert members(stream.missing()) == missing
        assert (stream.missing_count(), stream.gone_count()) == (len(missing), len(self.gone))
        assert [stream.has(seq) for seq in range(1, 70)] == [seq in self.had for seq in range(1, 70)]

    @invariant()
    def kept_names_what_is_known_lowest_first(self) -> None:
        known = self.had | self.gone
        for most in (0, 2, 16):
            upto, also = self.stream.kept(most)
            assert set(range(1, upto + 1)) | members(also) <= known
            assert upto + 1 not in known
            assert is_tidy(also)
            assert len(also) <= most
            if len(also) < most:
                assert set(range(1, upto + 1)) | members(also) == known


TestLedgerAgainstSets = LedgerAgainstSets.TestCase


def test_an_empty_stream_keeps_nothing() -> None:
    assert Stream("a", "00000001").kept(16) == (0, ())


def test_at_most_so_many_ranges_are_named_the_lowest_first() -> None:
    stream = Stream("a", "00000001")
    stream.add(1, 3)
    for seq in range(10, 60, 2):
        stream.add(seq, seq)
    upto, also = stream.kept(16)
    assert upto == 3
    assert also == tuple((seq, seq) for seq in range(10, 42, 2))


def test_no_reading_opens_more_gaps_than_a_stream_may_have_but_one_that_closes_a_gap_is_welcome() -> None:
    stream = Stream("a", "00000001")
    for seq in range(2, 2 * RANGES_MAX + 2, 2):
        assert stream.has_room(seq)
        stream.add(seq, seq)
    last = 2 * RANGES_MAX
    assert not stream.has_room(last + 10)
    assert stream.has_room(3)
    assert stream.has_room(last)


def test_gaps_gone_long_ago_are_forgotten_beyond_the_bound_and_counted() -> None:
    stream = Stream("a", "00000001")
    forgotten = 0
    for seq in range(2, 2 * (GONE_MAX + 20), 2):
        stream.add_gone(seq)
        forgotten += stream.add(seq, seq)
    assert forgotten > 0
    assert len(stream.row().have) <= GONE_MAX + 1
    assert stream.missing_count() == 0


def test_old_boots_and_old_skews_are_forgotten() -> None:
    stream = Stream("a", "00000001")
    for boot in range(7, 8 + BOOTS_MAX):
        stream.fix_boot(boot, boot)
        stream.date_roughly(boot, None)
        stream.fix_skew(Skew(boot, "synced", 1, boot))
    assert (len(stream.boots), len(stream.rough), len(stream.skews)) == (BOOTS_MAX, BOOTS_MAX, SKEWS_MAX)
    assert 7 not in stream.boots
    assert 7 not in stream.rough
    assert stream.ahead_ms(7, "synced", 1) == 0
    assert stream.ahead_ms(BOOTS_MAX, "synced", 1) == BOOTS_MAX


def test_of_the_skews_of_a_clock_the_last_one_before_a_reading_holds() -> None:
    stream = Stream("a", "00000001")
    stream.fix_skew(Skew(3, "synced", 1, 500))
    stream.fix_skew(Skew(3, "synced", 10, 0))
    stream.fix_skew(Skew(3, "held", 1, 7))
    told = [stream.ahead_ms(3, clock, seq) for clock, seq in (("synced", 9), ("synced", 10), ("held", 10))]
    assert told == [500, 0, 7]
    assert stream.ahead_ms(4, "synced", 20) == 0
    stream.fix_skew(Skew(3, "synced", 1, 900))
    assert [stream.ahead_ms(3, "synced", seq) for seq in (9, 10)] == [900, 900]
    assert Stream.from_row(stream.row()).skews == stream.skews


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["00000001", "00000002"]), SEQS, SEQS)))
def test_totals_are_the_sums_over_all_streams(changes: list[tuple[str, str, int, int]]) -> None:
    ledger = Ledger([])
    known: dict[tuple[str, str], Stream] = {}
    for device, name, seq, oldest in changes:
        before = ledger.get(device, name)
        stream = before.copy() if before is not None else Stream(device, name)
        stream.add(seq, seq)
        stream.add_gone(oldest)
        ledger.replace([stream])
        known[device, name] = stream
    assert ledger.missing_total == sum(stream.missing_count() for stream in known.values())
    assert ledger.gone_total == sum(stream.gone_count() for stream in known.values())


def row(number: int, seen_at_ms: int, born_at_ms: int = 0) -> LedgerRow:
    return LedgerRow(
        device="a", stream=f"{number:08x}", have=((2, 2),), gone=(), seen_at_ms=seen_at_ms, born_at_ms=born_at_ms
    )


def test_of_a_device_with_many_streams_those_seen_last_stay_and_the_others_can_be_recalled() -> None:
    rows = [row(number, seen_at_ms=number) for number in range(1, STREAMS_MAX + 11)]
    ledger = Ledger(rows)
    assert ledger.missing_total == len(rows)
    assert ledger.is_crowded("a")
    assert ledger.get("a", "00000001") is None
    assert ledger.get("a", f"{STREAMS_MAX + 10:08x}") is not None
    stream = ledger.recall(rows[0]).copy()
    stream.add(1, 1)
    stream.seen_at_ms = 1000
    ledger.replace([stream])
    assert ledger.missing_total == len(rows) - 1
    assert ledger.get("a", "00000001") is stream


@pytest.mark.parametrize("order", [1, -1])
def test_the_current_stream_is_that_of_the_last_birth_whichever_was_seen_last(order: int) -> None:
    rows = [row(1, 90, born_at_ms=10), row(2, 20, born_at_ms=20), row(3, 30)]
    current = Ledger(rows[::order]).current("a")
    assert current is not None
    assert current.stream == "00000002"


def test_totals_stay_right_when_a_recalled_stream_changes_beside_a_new_one() -> None:
    ledger = Ledger([row(number, seen_at_ms=number) for number in range(1, STREAMS_MAX + 11)])
    recalled = ledger.recall(row(1, seen_at_ms=1)).copy()
    new = Stream("a", "ffffffff")
    recalled.seen_at_ms = new.seen_at_ms = 1000
    new.add(1, 1)
    recalled.add(1, 1)
    ledger.replace([new, recalled])
    assert ledger.missing_total == STREAMS_MAX + 10 - 1
    assert ledger.get("a", "00000001") is recalled


@settings(deadline=None)  # a full stream is long
@given(st.sets(st.integers(1, 12 * RANGES_MAX), max_size=6), st.integers(1, 12))
def test_a_full_stream_has_room_for_exactly_what_opens_no_further_range(seqs: set[int], step: int) -> None:
    stream = Stream("a", "00000001")
    for n in range(RANGES_MAX):
        stream.add(n * (step + 3) + 3, n * (step + 3) + 4)
    for seq in seqs:
        twin = stream.copy()
        twin.add(seq, seq)
        assert stream.has_room(seq) == (len(twin.covered) <= 2 * RANGES_MAX)


def test_a_stream_without_a_row_of_what_it_is_now_is_not_put_aside() -> None:
    ledger = Ledger([row(1, seen_at_ms=1)])
    known = ledger.get("a", "00000001")
    assert known is not None
    ledger.grow([(known, known.next_seq + 1)], now_ms=1)
    ledger.replace([Stream.from_row(row(number, seen_at_ms=number)) for number in range(2, STREAMS_MAX + 12)])
    assert ledger.is_crowded("a")
    assert ledger.get("a", "00000001") is known
    assert ledger.get("a", "00000002") is None
    ledger.unwritten.clear()
    ledger.replace([Stream.from_row(row(STREAMS_MAX + 12, seen_at_ms=9_999))])
    assert ledger.get("a", "00000001") is None


@pytest.mark.parametrize(
    ("have", "gone", "oldest", "loses"),
    [
        ([(1, 4)], 1, 5, False),
        ([(1, 4)], 1, 9, False),
        ([(1, 4), (6, 9)], 1, 5, False),
        ([(1, 4), (6, 9)], 1, 6, True),
        ([(1, 4), (6, 9)], 6, 9, False),
        ([(3, 4)], 1, 1, False),
        ([(3, 4)], 1, 2, True),
        ([(3, 4)], 3, 4, False),
    ],
)
def test_what_is_missing_below_the_oldest_a_device_holds_is_noticed(
    have: list[tuple[int, int]], gone: int, oldest: int, loses: bool
) -> None:
    stream = Stream("a", "00000001")
    for first, last in have:
        stream.add(first, last)
    stream.add_gone(gone)
    assert stream.would_lose(oldest) is loses


def test_a_stream_whose_end_grows_beside_an_open_gap_still_misses_and_has_lost_the_same() -> None:
    stream = Stream("a", "00000001")
    stream.add(5, 6)
    stream.add_gone(3)
    stream.add(9, 9)
    before = stream.missing(), stream.missing_count(), stream.gone(), stream.gone_count()
    assert stream.next_seq == 10
    stream.grow(13)
    assert (stream.missing(), stream.missing_count(), stream.gone(), stream.gone_count()) == before
    assert stream.row().have == ((5, 6), (9, 12))
