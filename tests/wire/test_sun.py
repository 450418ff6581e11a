"""The sun stands where astronomers say, to 0.3 degrees, also in the single precision of the ESP32."""

import ast
import math
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from astral import Observer
from astral.sun import elevation as astral_elevation
from astral.sun import sunrise, sunset

from contract.wire import sun

ROOT = Path(__file__).parents[2]
BERKANE = (34.92, -2.32)
PLACES = [BERKANE, (0.0, 0.0), (64.15, -21.94), (78.22, 15.65), (-33.87, 151.21), (-77.85, 166.67), (21.3, -157.86)]
YEAR = 1767225600000  # 2026-01-01
DAY = sun.DAY_MS


def at(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


@pytest.mark.parametrize("place", PLACES)
def test_elevation_agrees_with_astral_over_a_year(place: tuple[float, float]) -> None:
    observer = Observer(*place)
    for hours in range(0, 365 * 24, 37):
        moment = YEAR + hours * 3600000
        expected = astral_elevation(observer, at(moment), with_refraction=False)
        assert sun.elevation_deg(moment, *place) == pytest.approx(expected, abs=0.3), at(moment)


def test_sunrise_and_sunset_at_berkane_agree_with_astral_to_two_minutes_all_year() -> None:
    observer = Observer(*BERKANE)
    for day in range(365):
        start = YEAR + day * DAY
        rise, fall = sun.sunrise_sunset_ms(start, *BERKANE)
        assert rise is not None
        assert fall is not None
        date = at(start).date()
        assert abs(rise / 1000 - sunrise(observer, date).timestamp()) < 120, date
        assert abs(fall / 1000 - sunset(observer, date).timestamp()) < 120, date


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("elevation", [-0.833, -6.0])
def test_at_an_event_the_sun_passes_the_elevation_the_right_way(place: tuple[float, float], elevation: float) -> None:
    for day in range(0, 365, 5):
        start = YEAR + day * DAY
        for event, way in zip(sun.sunrise_sunset_ms(start, *place, elevation), (1, -1), strict=True):
            if event is not None:
                assert start <= event < start + DAY
                assert sun.elevation_deg(event, *place) == pytest.approx(elevation, abs=0.1)
                before, after = (sun.elevation_deg(event + way * shift, *place) for shift in (-600000, 600000))
                assert before < after, (at(event), place)


@pytest.mark.parametrize("place", [(78.22, 15.65), (-77.85, 166.67)])
def test_no_event_is_missed_or_invented_near_the_poles(place: tuple[float, float]) -> None:
    """A day whose sun clearly stays on one side has no event; one that clearly crosses has at least one."""
    for day in range(0, 365, 3):
        start = YEAR + day * DAY
        heights = [sun.elevation_deg(start + minutes * 60000, *place) for minutes in range(0, 1441, 10)]
        events = [event for event in sun.sunrise_sunset_ms(start, *place) if event is not None]
        if min(heights) > -0.733 or max(heights) < -0.933:
            assert events == []
        elif min(heights) < -1.3 and max(heights) > -0.3:
            assert events, at(start)


def test_polar_day_and_polar_night_have_neither_sunrise_nor_sunset() -> None:
    june, december = YEAR + 171 * DAY, YEAR + 354 * DAY
    assert sun.sunrise_sunset_ms(june, 78.22, 15.65) == (None, None)
    assert sun.sunrise_sunset_ms(december, 78.22, 15.65) == (None, None)
    assert sun.sunrise_sunset_ms(june, 90.0, 0.0) == (None, None)


def test_a_local_day_may_begin_at_any_moment() -> None:
    """Sydney's sunrise falls on the day before in UTC: a day that begins at local midnight has both, in order."""
    start = YEAR + 100 * DAY + 14 * 3600000
    rise, fall = sun.sunrise_sunset_ms(start, -33.87, 151.21)
    assert rise is not None
    assert fall is not None
    assert start < rise < fall < start + DAY


def test_elevation_is_finite_at_the_edges_of_the_map() -> None:
    for latitude in (-90.0, 0.0, 90.0):
        for longitude in (-180.0, 180.0):
            assert math.isfinite(sun.elevation_deg(YEAR, latitude, longitude))


class _RoundFloats(ast.NodeTransformer):
    """Wraps every constant, call and arithmetic result in `_single`, which rounds floats to 24 bits."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        rounds = isinstance(node, (ast.BinOp, ast.Call)) or (
            isinstance(node, ast.Constant) and type(node.value) is float
        )
        if not rounds:
            return node
        name = ast.Name(id="_single", ctx=ast.Load())
        return ast.Call(func=name, args=[node], keywords=[])  # type: ignore[list-item]


def _single(value: object) -> object:
    return struct.unpack("f", struct.pack("f", value))[0] if isinstance(value, float) else value


def test_single_precision_floats_suffice() -> None:
    """The same formulas with every step rounded as the ESP32 rounds."""
    tree = _RoundFloats().visit(ast.parse((ROOT / "contract/wire/sun.py").read_text()))
    rounded: dict[str, Any] = {"_single": _single}
    exec(compile(ast.fix_missing_locations(tree), "sun.py", "exec"), rounded)
    worst = 0.0
    for hours in range(0, 365 * 24, 53):
        moment = YEAR + hours * 3600000 + 1234567
        worst = max(worst, abs(rounded["elevation_deg"](moment, *BERKANE) - sun.elevation_deg(moment, *BERKANE)))
    assert 0 < worst < 0.05
    for day in range(0, 365, 30):
        exact = sun.sunrise_sunset_ms(YEAR + day * DAY, *BERKANE)
        for found, expected in zip(rounded["sunrise_sunset_ms"](YEAR + day * DAY, *BERKANE), exact, strict=True):
            assert abs(found - expected) < 15000


def test_micropython_computes_the_same() -> None:
    moment = YEAR + 200 * DAY + 3600000
    script = (
        "from contract.wire import sun\n"
        f"print(sun.elevation_deg({moment}, 34.92, -2.32), *sun.sunrise_sunset_ms({YEAR}, 34.92, -2.32))"
    )
    run = subprocess.run(
        [ROOT / ".venv/bin/micropython", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    height, rise, fall = run.stdout.split()
    assert float(height) == pytest.approx(sun.elevation_deg(moment, *BERKANE), abs=1e-6)
    assert [int(rise), int(fall)] == pytest.approx(list(sun.sunrise_sunset_ms(YEAR, *BERKANE)), abs=5)
