"""Durations and units mean one thing everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.quantity import UNITS, convert, duration_ms, duration_text


@pytest.mark.parametrize(
    ("text", "ms"),
    [("90s", 90_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("250ms", 250), ("1.5h", 5_400_000), ("0s", 0)],
)
def test_a_duration_is_read_as_written(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "-5m", "10x", "1e3s", "5m 3", "٥m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_ms(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_writing_and_reading_a_duration_changes_nothing(ms: int) -> None:
    assert duration_ms(duration_text(ms)) == ms


@pytest.mark.parametrize(
    ("number", "unit", "to", "result"),
    [
        (30, "%", "ratio", 0.3),
        (212, "degF", "degC", 100),
        (3.2, "mm", "um", 3_200),
        (6, "m3_h", "l_min", 100),
        (36, "km_h", "m_s", 10),
        (150, "kPa", "bar", 1.5),
        (770, "l", "ml", 770_000),
    ],
)
def test_units_of_one_dimension_convert(number: float, unit: str, to: str, result: float) -> None:
    assert convert(number, unit, to) == pytest.approx(result)


@given(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)), st.floats(-1e6, 1e6))
def test_a_conversion_there_and_back_changes_nothing_or_is_refused_both_ways(a: str, b: str, number: float) -> None:
    if UNITS[a][0] == UNITS[b][0]:
        assert convert(convert(number, a, b), b, a) == pytest.approx(number, abs=1e-6)
    else:
        for one, other in ((a, b), (b, a)):
            with pytest.raises(ValueError, match="does not convert"):
                convert(number, one, other)


def test_an_unknown_unit_and_a_unit_where_none_belongs_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown unit 'furlong'"):
        convert(1, "furlong", "m2")
    with pytest.raises(ValueError, match="where 'no unit' is expected"):
        convert(1, "%", "")
