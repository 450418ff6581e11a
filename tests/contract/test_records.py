"""Records come out of the log as they went in, and ids follow from causes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.decisions import identify
from contract.records import Reading, Reported, RulesLoaded, Telemetry, Tick, decode, encode

VALUES = st.dictionaries(st.text(min_size=1, max_size=8), st.one_of(st.floats(allow_nan=False), st.text(max_size=8)))
READINGS = st.builds(
    Reading,
    seq=st.integers(1, 2**40),
    measured_at_ms=st.integers(0, 2**42),
    values=VALUES,
    quality=st.integers(0, 15),
)


@given(st.lists(READINGS, max_size=5))
def test_telemetry_survives_the_log(readings: list[Reading]) -> None:
    record = Telemetry(device="d", asset="a", kind="k", stream="9f3c01aa", boot=3, readings=tuple(readings))
    assert decode(encode(record)) == record


def test_each_record_keeps_its_type() -> None:
    for record in (
        Tick(listening=True),
        RulesLoaded(digest="x", files={"a.yaml": "group: a"}),
        Reported(device="d", n=1, boot=1, version=2, state={"level": 0.5}, by={"level": "lease"}, result="applied"),
    ):
        assert decode(encode(record)) == record


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xc1", encode(Tick(listening=True))[:-1]])
def test_a_damaged_record_is_an_error_not_another_record(body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, msgspec.ValidationError)):
        decode(body)


def test_ids_are_the_same_for_the_same_cause_and_differ_for_others() -> None:
    assert identify("rule", "lamp-1", 5) == identify("rule", "lamp-1", 5)
    assert len({identify("rule", "lamp-1", 5), identify("rule", "lamp-15"), identify("rulelamp-1", 5)}) == 3
