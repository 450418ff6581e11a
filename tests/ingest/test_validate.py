"""The fast judge and the exact one say the same of every message."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.wire.messages import WireFault
from ingest.decode import JsonReader, Unreadable, _exact, decode_telemetry
from ingest.validate import Validator, excerpt
from tests.ingest.house import KINDS

VALIDATORS = {name: Validator(kind) for name, kind in KINDS.items()}
READER = JsonReader()

NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1.0000001, 2**53 - 1, 2**53, 1e308, 200_000, 10**400]),
)
ODD = st.one_of(
    NUMBERS, st.booleans(), st.none(), st.sampled_from(["lease", "local", "", "x"]), st.just([]), st.just({})
)


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A message that is mostly right, of some kind, with here and there a value of any sort."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    metrics = st.sampled_from([*KINDS[kind].metrics, "unknown"])
    readings = [
        {
            "seq": draw(st.integers(1, 9) | ODD),
            draw(st.sampled_from(["at", "at", "at", "up"])): draw(st.integers(0, 2**53) | ODD),
            "v": draw(st.dictionaries(metrics, ODD | NUMBERS, max_size=4) | ODD),
        }
        for _ in range(draw(st.integers(0, 3)))
    ]
    clock = draw(st.sampled_from(["synced", "synced", "held", "none", "ntp"]))
    document: dict[str, Any] = {"stream": "9f3c01aa", "boot": 1, "clock": clock, "oldest": 1, "readings": readings}
    if draw(st.integers(0, 9)) == 0:
        document[draw(st.sampled_from(sorted(document)))] = draw(ODD)
    return kind, document


def told(document: dict[str, Any], kind: str, *, exactly: bool) -> Any:
    try:
        if exactly:
            message = _exact(READER.read(json.dumps(document).encode())[0], 0, VALIDATORS[kind])
        else:
            message = decode_telemetry(
                json.dumps(document, separators=(",", ":")).encode(), VALIDATORS[kind], JsonReader()
            )
    except (WireFault, Unreadable) as fault:
        return fault.code, fault.sentence
    head = message.stream, message.boot, message.clock, message.oldest, dict(message.notes)
    return (
        head,
        [msgspec.to_builtins(one.v) | {"": (one.seq, one.at, one.up)} for one in message.readings],
        list(message.faulty),
    )


@settings(max_examples=400, deadline=None)
@given(messages())
def test_the_two_judges_agree(case: tuple[str, dict[str, Any]]) -> None:
    kind, document = case
    assert told(document, kind, exactly=False) == told(document, kind, exactly=True)


def test_a_message_without_fault_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: object) -> None:
        raise AssertionError("read exactly though nothing is wrong")

    monkeypatch.setattr("ingest.decode._exact", slow)
    payload = (
        b'{"stream":"9f3c01aa","boot":1,"clock":"synced","oldest":1,"readings":[{"seq":1,"at":5,"v":{"open":true}}]}'
    )
    message = decode_telemetry(payload, VALIDATORS["irrigation_valve"], READER)
    assert message.readings[0].v == {"open": 1.0}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_numbers_are_floats_booleans_0_or_1_and_enums_their_words(kind: str) -> None:
    for metric in KINDS[kind].metrics.values():
        given_value: Any = {"boolean": True, "enum": metric.values[0] if metric.values else ""}.get(metric.type, 1)
        values, unknown = VALIDATORS[kind].judge({metric.name: given_value})
        assert unknown == []
        assert values == {metric.name: given_value if metric.type == "enum" else 1.0}
        assert type(values[metric.name]) is (str if metric.type == "enum" else float)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (7, "out_of_range: level: 7 ratio is not within 0 and 1"),
        (True, "wrong_type: level: True is not a number"),
        (float("1e400"), "out_of_range: level: inf ratio is not within 0 and 1"),
        ("\ud800" * 100, "wrong_type: level: '" + "\\ud800" * 6 + "... is not a number"),
    ],
)
def test_a_fault_names_metric_value_and_limit(value: Any, sentence: str) -> None:
    with pytest.raises(WireFault) as caught:
        VALIDATORS["street_light"].judge({"level": value})
    assert str(caught.value) == sentence


def test_an_excerpt_is_short_and_printable() -> None:
    assert excerpt("é\n" * 50) == "'" + "\\xe9\\n" * 6 + "..."
