"""A consumer that stands still says why, once, and tries again at a growing distance."""

import logging

import pytest

from contract.ports import LogFull, StoreFault
from nabd.standing import Standing


def standing() -> Standing:
    return Standing(logging.getLogger("consumers"), "store", 1.0, 5.0)


@pytest.mark.parametrize("passing", [StoreFault("away"), LogFull("away"), OSError("away")])
def test_what_passes_is_told_in_its_own_words(passing: Exception, caplog: pytest.LogCaptureFixture) -> None:
    one = standing()
    one.because(passing)
    assert one.why == "away"
    assert [(record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        ("event=store_stands reason=away", False)
    ]


def test_a_fault_of_ours_is_told_with_its_type_and_where_it_happened(caplog: pytest.LogCaptureFixture) -> None:
    one = standing()
    one.because(ZeroDivisionError("ours"))
    assert one.why == "ZeroDivisionError: ours"
    assert caplog.records[0].exc_info


def test_its_beginning_and_its_end_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    one = standing()
    with caplog.at_level(logging.INFO, "consumers"):
        one.over()
        for reason in ("away", "still away"):
            one.because(StoreFault(reason))
        assert one.why == "still away"
        one.over()
        one.over()
    assert one.why == ""
    assert [record.getMessage() for record in caplog.records] == ["event=store_stands reason=away", "event=store_back"]


def test_waits_double_up_to_the_longest_and_begin_anew_when_it_is_over() -> None:
    one = standing()
    assert [one.because(StoreFault("away")) for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    one.over()
    assert one.because(StoreFault("away")) == 1.0


def test_a_store_that_asks_for_a_longer_wait_gets_it_that_once() -> None:
    one = standing()
    assert one.because(StoreFault("too much to do", retry_after_s=60.0)) == 60.0
    assert one.because(StoreFault("away")) == 5.0


def test_without_a_longest_wait_every_wait_is_the_same() -> None:
    one = Standing(logging.getLogger("tally"), "tally", 5.0)
    assert [one.because(OSError("full")) for _ in range(3)] == [5.0, 5.0, 5.0]
