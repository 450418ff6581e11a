"""Payloads: what the vectors do not say."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.wire import messages

STREAM = "9f3c01aa"
SEQ = st.integers(1, messages.SEQ_MAX)


@given(
    upto=st.integers(0, messages.SEQ_MAX),
    also=st.lists(st.tuples(SEQ, SEQ).map(lambda pair: (min(pair), max(pair))), max_size=16),
    deferred=st.booleans(),
)
def test_kept_is_read_as_it_was_written(upto: int, also: list[tuple[int, int]], deferred: bool) -> None:
    assert messages.parse_kept(messages.kept(STREAM, upto, also, deferred)) == (STREAM, upto, also, deferred)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=32),
        st.tuples(st.floats(-1e9, 1e9), st.integers(0, messages.INTEGER_MAX), st.text(max_size=200)),
        max_size=4,
    )
)
def test_a_lease_is_read_as_it_was_written(targets: dict[str, tuple[float, int, str]]) -> None:
    written = {name: {"to": to, "until": until, "reason": reason} for name, (to, until, reason) in targets.items()}
    assert messages.parse_lease(messages.lease(2, 1, written)) == (2, 1, targets)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_payload_raises_anything_but_a_wire_fault(payload: bytes) -> None:
    for parse in (messages.parse_kept, messages.parse_lease, messages.parse_call, messages.parse_now):
        with pytest.raises(messages.WireFault) as caught:
            parse(payload)
        assert caught.value.code in messages.FAULT_CODES
        assert caught.value.sentence


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["stream", "upto", "also", "deferred", "version", "issued", "targets", "id", "do", "at"]), JSON)
def test_no_value_under_a_known_key_raises_anything_but_a_wire_fault(key: str, value: Any) -> None:
    whole = {
        "stream": STREAM,
        "upto": 1,
        "version": 1,
        "issued": 1,
        "targets": {},
        "id": "c",
        "do": "d",
        "expires": 1,
        "nonce": 1,
        "at": 1,
    }
    payload = json.dumps({**whole, key: value}).encode()
    for parse in (messages.parse_kept, messages.parse_lease, messages.parse_call, messages.parse_now):
        with contextlib.suppress(messages.WireFault):
            parse(payload)


def test_more_ranges_than_a_kept_holds_are_cut_lowest_first() -> None:
    ranges = [(10 * n, 10 * n + 3) for n in range(1, 30)]
    assert messages.parse_kept(messages.kept(STREAM, 1, ranges))[2] == ranges[:16]


def test_more_readings_than_a_message_holds_are_the_callers_mistake() -> None:
    reading = {"seq": 1, "at": 1, "v": {}}
    with pytest.raises(ValueError, match="65 are more than the 64"):
        messages.telemetry(STREAM, 1, "synced", 1, [reading] * 65)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_value_that_is_not_finite_leaves_the_device_as_unknown_and_takes_nothing_with_it(value: float) -> None:
    readings = [{"seq": 1, "at": 1, "v": {"a": 1.5}}, {"seq": 2, "at": 2, "v": {"a": value, "b": True}}]
    written = json.loads(messages.telemetry(STREAM, 1, "synced", 1, readings))
    assert [reading["v"] for reading in written["readings"]] == [{"a": 1.5}, {"a": None, "b": True}]
    assert readings[1]["v"] == pytest.approx({"a": value, "b": True}, nan_ok=True)  # the caller's copy is untouched


def test_payloads_are_compact_and_arabic_stays_readable() -> None:
    assert messages.now(7, 8) == b'{"nonce":7,"at":8}'
    assert "قاعدة".encode() in messages.lease(1, 1, {"level": {"to": 0.5, "until": 2, "reason": "قاعدة"}})
