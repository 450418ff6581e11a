"""What is missing, doubled and unexpected, by name: ranges compared as sets of names would be."""

from hypothesis import given
from hypothesis import strategies as st

from contract import ranges
from contract.extracts import Held
from contract.ports import LedgerRow
from contract.records import Entry, Reading, Telemetry
from ingest.ledger import GONE_MAX
from nabd.recounting import Expected, Recount

seqs = st.sets(st.integers(1, 40), max_size=30)
KEYS = [("lamp-1", "aa"), ("lamp-1", "bb"), ("lamp-2", "aa")]


def members(found: ranges.Ranges) -> set[int]:
    return {n for first, last in found for n in range(first, last + 1)}


def entry(position: int, key: tuple[str, str], seq: int, at_ms: int = 0) -> Entry:
    readings = (Reading(seq, at_ms, {}),)
    return Entry(position, 0, Telemetry(device=key[0], asset="", kind="k", stream=key[1], boot=1, readings=readings))


def row(key: tuple[str, str], have: set[int]) -> LedgerRow:
    return LedgerRow(device=key[0], stream=key[1], have=tuple(ranges.of(have)), gone=())


def held(key: tuple[str, str], have: set[int], twice: set[int] = frozenset()) -> Held:  # type: ignore[assignment]
    return Held(*key, ranges.of(have), ranges.of(twice))


@given(rows=seqs, log=st.dictionaries(st.integers(1, 40), st.integers(1, 60)), ledger_upto=st.integers(0, 60),
       stored_upto=st.integers(0, 60), quarantined=seqs, stored=seqs, twice=seqs)  # fmt: skip
def test_the_comparison_is_that_of_sets_of_names(
    rows: set[int], log: dict[int, int], ledger_upto: int, stored_upto: int, quarantined: set[int], stored: set[int],
    twice: set[int],
) -> None:  # fmt: skip
    key = KEYS[0]
    expected = Expected()
    expected.take_ledger([row(key, rows)])
    entries = sorted((entry(position, key, seq) for seq, position in log.items()), key=lambda one: one.position)
    expected.take_entries(entries, ledger_upto=ledger_upto, stored_upto=stored_upto)
    expected.take_quarantine([(*key, seq) for seq in quarantined])
    recount = Recount(expected, retires=False)
    recount.take([held(key, stored, stored & twice)] if stored else [])
    have = rows | {seq for seq, position in log.items() if position > ledger_upto}
    waiting = {seq for seq, position in log.items() if position > stored_upto}
    assert members(recount.missing.get(key, ())) == have - stored - waiting - quarantined
    assert members(recount.unexpected.get(key, ())) == stored - have
    assert members(recount.doubled.get(key, ())) == stored & twice
    counts = recount.counts()
    assert counts["ledger"] == len(have)
    assert counts["held"] == len(stored) + len(stored & twice)
    assert counts["ledger"] - counts["missing"] - counts["waiting"] - counts["quarantined"] == len(have & stored)


def test_a_stream_that_the_store_lacks_whole_and_one_that_the_ledger_lacks_are_both_named() -> None:
    expected = Expected()
    expected.take_ledger([row(KEYS[0], {1, 2}), row(KEYS[1], {1})])
    recount = Recount(expected, retires=False)
    recount.take([held(KEYS[1], {1}), held(KEYS[2], {7, 8, 9})])
    assert [(fault.what, fault.device, fault.stream, fault.readings) for fault in recount.faults()] == [
        ("missing", "lamp-1", "aa", 2),
        ("unexpected", "lamp-2", "aa", 3),
    ]
    recount.came_since([entry(9, KEYS[2], 8)])
    assert [fault.ranges for fault in recount.faults()] == [((1, 2),), ((7, 7), (9, 9))]


def test_what_a_store_may_have_deleted_as_too_old_is_not_missing_unless_the_log_knows_better() -> None:
    expected = Expected()
    expected.take_ledger([row(KEYS[0], set(range(1, 31))), row(KEYS[1], {1, 2})])
    recount = Recount(expected, retires=True)
    recount.take([Held(*KEYS[0], ranges.of(set(range(11, 31)) - {20}), (), kept_seq=11)])
    assert recount.missing == {KEYS[0]: [(20, 20)]}
    assert recount.counts()["retired"] == 12
    recount.still_dated([entry(1, KEYS[0], 9, at_ms=99), entry(2, KEYS[0], 10, at_ms=100)], {"k": 100})
    assert recount.missing == {KEYS[0]: [(10, 10), (20, 20)]}
    assert recount.counts()["retired"] == 11


def test_what_came_late_for_a_time_that_is_deleted_excuses_what_was_deleted_around_it() -> None:
    expected = Expected()
    expected.take_ledger([row(key, set(range(1, 21))) for key in KEYS])
    recount = Recount(expected, retires=True)
    recount.take([
        Held(*KEYS[0], [(5, 5), (11, 15), (17, 20)], (), kept_seq=11),
        Held(*KEYS[1], [(5, 5)], (), kept_seq=None),
        Held(*KEYS[2], [(5, 20)], (), kept_seq=0),
    ])  # fmt: skip
    assert recount.retired == {KEYS[0]: [(1, 4), (6, 10)], KEYS[1]: [(1, 4), (6, 20)]}
    assert recount.missing == {KEYS[0]: [(16, 16)], KEYS[2]: [(1, 4)]}, "of the third's kind nothing is deleted"


def test_gaps_that_a_ledger_has_forgotten_are_not_called_missing() -> None:
    have = [(1, 10), *((20 + 2 * n, 20 + 2 * n) for n in range(GONE_MAX))]
    expected = Expected()
    expected.take_ledger([LedgerRow(device="lamp-1", stream="aa", have=tuple(have), gone=())])
    recount = Recount(expected, retires=False)
    recount.take([Held("lamp-1", "aa", [(3, 10), *have[1:-1]], [])])
    assert recount.counts()["forgotten"] == 2
    assert recount.missing == {KEYS[0]: [have[-1]]}
