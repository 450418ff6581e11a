"""What is written of what is said: a burst whole, a flood in part and counted."""

import json
import logging

import pytest

from nabd.logs import BURST_MAX, BURST_S, REMEMBERED_MAX, JsonFormatter, KeyValueFormatter, RateLimit


def record(text: str, *facts: object, at_s: float = 0.0, room: str = "ingest") -> logging.LogRecord:
    made = logging.LogRecord(room, logging.WARNING, __file__, 1, text, facts, None)
    made.created, made.msecs = at_s, at_s * 1000 % 1000
    return made


def test_a_burst_is_written_a_flood_is_not_and_the_next_line_says_how_many_were_left_out() -> None:
    limit = RateLimit()
    written = [limit.filter(record("event=bad device=%s", number, at_s=number / 100)) for number in range(50)]
    assert written == [True] * BURST_MAX + [False] * (50 - BURST_MAX)
    after = record("event=bad device=%s", "last", at_s=BURST_S)
    assert limit.filter(after)
    assert after.getMessage() == f"event=bad device=last left_out={50 - BURST_MAX}"
    quiet = record("event=bad device=%s", "later", at_s=2 * BURST_S)
    assert limit.filter(quiet)
    assert quiet.getMessage() == "event=bad device=later"


def test_one_rooms_flood_silences_no_other_room_and_no_other_text() -> None:
    limit = RateLimit()
    for _ in range(BURST_MAX + 1):
        limit.filter(record("event=bad"))
    assert not limit.filter(record("event=bad"))
    assert limit.filter(record("event=bad", room="rules"))
    assert limit.filter(record("event=worse"))


def test_only_so_many_texts_are_remembered() -> None:
    limit = RateLimit()
    for _ in range(BURST_MAX + 1):
        limit.filter(record("event=bad"))
    for number in range(REMEMBERED_MAX):
        limit.filter(record(f"event={number}"))
    assert limit.filter(record("event=bad"))


def test_a_line_says_when_how_bad_where_and_what_in_either_form() -> None:
    said = record("event=holding reason=%s", "full", at_s=1_795_457_855.25)
    assert KeyValueFormatter().format(said) == (
        "at=2026-11-23T18:17:35.250Z level=warning room=ingest event=holding reason=full"
    )
    assert json.loads(JsonFormatter().format(said)) == {
        "at": "2026-11-23T18:17:35.250Z",
        "level": "warning",
        "room": "ingest",
        "message": "event=holding reason=full",
    }


@pytest.mark.parametrize("formatter", [KeyValueFormatter(), JsonFormatter()])
def test_a_line_that_wants_no_trace_is_written_without_one(formatter: logging.Formatter) -> None:
    record = logging.getLogger("room").makeRecord("room", logging.ERROR, "", 0, "event=full", (), False)  # type: ignore[arg-type]
    assert "event=full" in formatter.format(record)
