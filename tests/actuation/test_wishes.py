"""What an operator is told before a wish is written."""

from typing import Any

import pytest

from actuation.wishes import check_wish
from tests.actuation.city import KINDS, START_MS, VALVE, M, S


def faults(kind: str = "irrigation_valve", **given: object) -> list[str]:
    fields: dict[str, object] = {
        "target": "open", "to": 1.0, "until_ms": START_MS + 10 * M, "now_ms": START_MS, "reason": "dry lawn",
        "by": "amina", **given,
    }  # fmt: skip
    return check_wish(KINDS[kind], VALVE, **fields)  # type: ignore[arg-type]


def test_a_sound_wish_has_no_fault() -> None:
    assert faults() == []
    assert faults(until_ms=START_MS + 1800 * S) == []
    assert faults("street_light", target="level", to=0.0, until_ms=START_MS + 1) == []


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"target": "opn"}, "target: irrigation_valve has no target 'opn'; did you mean 'open'?"),
        ({"to": 0.5}, "open: 0.5 is neither true (1) nor false (0)"),
        ({"to": float("inf")}, "open: inf is no number"),
        ({"until_ms": None}, "until: missing; every wish ends at a time"),
        ({"until_ms": START_MS}, "until: 2026-11-23T19:00:00Z is not after now, 2026-11-23T19:00:00Z"),
        (
            {"until_ms": START_MS + 3600 * S},
            "until: 2026-11-23T20:00:00Z is 3600 s from now, over open_s_max 1800 s; "
            "ask for 2026-11-23T19:30:00Z at the latest",
        ),
        ({"reason": " "}, "reason: missing; say why in up to 200 characters: it is shown to everybody who asks"),
        ({"reason": "x" * 201}, "reason: 201 characters, at most 200"),
        ({"by": ""}, "by: missing; say who wishes it"),
    ],
)
def test_each_fault_names_the_key_the_value_and_the_limit(given: dict[str, Any], fault: str) -> None:
    assert faults(**given) == [fault]


def test_a_number_out_of_range_is_named_with_the_range() -> None:
    assert faults("street_light", target="level", to=1.5) == ["level: 1.5 is outside 0 to 1"]


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(target="nothing", until_ms=0, reason="", by="")) == 4


def test_closing_for_longer_than_a_run_is_no_fault() -> None:
    assert faults(to=0.0, until_ms=START_MS + 86_400 * S) == []
