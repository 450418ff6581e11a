"""A store recounts itself: each name once, what is doubled told, whatever the size of a part."""

import pytest

from adapters.stores.duckdb_store import DuckStore
from contract.extracts import Held
from nabd.verifying import _names
from tests.adapters_stores.aggregating import drain, retire
from tests.adapters_stores.conftest import KINDS, AnyStore, OpenStore
from tests.adapters_stores.entries import AT_MS, telemetry


def recounted(store: AnyStore) -> dict[tuple[str, str], tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    told: list[int] = []
    found: list[Held] = list(_names(store, KINDS).held(told.append))
    assert sum(told) == store.count()
    names = {(one.device, one.stream): (list(one.ranges), list(one.doubled)) for one in found}
    assert len(names) == len(found), "each stream comes once"
    return names


def test_runs_of_every_stream_across_days_and_kinds(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.stores.duckdb_names.PART_ROWS", 7)
    store = open_store()
    assert recounted(store) == {}
    late = telemetry(3, 15, at_ms=AT_MS - 5 * 86_400_000)
    store.write(
        [telemetry(1, 1, readings=9), telemetry(2, 11, readings=4), late,
         telemetry(4, 1, device="bin-1", kind="waste_bin"), telemetry(5, 3, device="lamp-2", readings=2)],
        AT_MS,
    )  # fmt: skip
    assert recounted(store) == {
        ("lamp-1", "9f3c01aa"): ([(1, 9), (11, 15)], []),
        ("lamp-2", "9f3c01aa"): ([(3, 4)], []),
        ("bin-1", "9f3c01aa"): ([(1, 1)], []),
    }


def test_a_reading_that_is_there_twice_is_told(open_store: OpenStore) -> None:
    """Written past the position with another asset, it is another row, and another point."""
    store = open_store()
    store.write([telemetry(1, 1, readings=6)], AT_MS)
    store.write([telemetry(2, 3, readings=2, asset="pole-2")], AT_MS)
    store.write([telemetry(3, 9, readings=2)], AT_MS)
    assert recounted(store) == {("lamp-1", "9f3c01aa"): ([(1, 6), (9, 10)], [(3, 4)])}


def test_readings_of_kinds_that_are_not_loaded_are_counted_where_the_store_has_them(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 1, device="bin-1", kind="waste_bin")], AT_MS)
    if not isinstance(store, DuckStore):
        return  # the bucket's other measurements may be anybody's
    fewer = open_store({name: kind for name, kind in KINDS.items() if name != "waste_bin"})
    assert list(recounted(fewer)) == [("bin-1", "9f3c01aa")]


def test_where_everything_is_kept_again_is_told_of_each_stream(open_store: OpenStore) -> None:
    """One stream has late readings of deleted time besides, one only such; of one kind nothing is deleted."""
    store = open_store()
    assert not _names(store, KINDS).keeps_from_ms(AT_MS, AT_MS)
    day = 86_400_000
    store.write(
        [telemetry(1, 1, readings=9), telemetry(2, 101, readings=4, at_ms=AT_MS + 10 * day),
         telemetry(3, 1, device="lamp-2"), telemetry(4, 4, device="bin-1", kind="waste_bin", at_ms=AT_MS + 10 * day)],
        AT_MS,
    )  # fmt: skip
    keep = KINDS["street_light"].keep.raw_ms
    now_ms = AT_MS + keep + day
    drain(store, now_ms)
    retire(store, now_ms)
    store.write([telemetry(5, 5), telemetry(6, 7, device="lamp-2")], now_ms)
    names = _names(store, KINDS)
    from_ms = now_ms - keep - (now_ms - keep) % 3_600_000
    assert names.keeps_from_ms(now_ms, now_ms)["street_light"] == from_ms
    found = {one.device: (list(one.ranges), one.kept_seq) for one in names.held(lambda _: None)}
    assert found == {"lamp-1": ([(5, 5), (101, 104)], 101), "lamp-2": ([(7, 7)], None), "bin-1": ([(4, 4)], 0)}
