"""Water neither appears nor vanishes; crops drink, valves wet, leaks show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.wire import messages
from simulators.faults import FaultName
from simulators.irrigation import EFFICIENCY, Valve
from simulators.soil import CROPS, Soil, balance, reference_et_mm_h, stress
from simulators.weather import Sky
from tests.simulators.city import DAY_MS, HOUR_MS, Bench, asset_of, certain, local_ms, small_world

CROP_NAMES = st.sampled_from(sorted(CROPS))


def booked_mm(soil: Soil) -> float:
    """What came in and has not gone out, by the soil's own books."""
    return soil.irrigated_mm + soil.rained_mm - soil.evaporated_mm - soil.drained_mm - soil.ran_off_mm


@given(
    CROP_NAMES,
    st.floats(0.0, 1.0),
    st.lists(st.tuples(st.floats(1, 3600), st.floats(0, 1.2), st.floats(0, 30), st.floats(0, 10)), max_size=40),
)
def test_the_water_balance_closes(name: str, start: float, steps: list[tuple[float, float, float, float]]) -> None:
    crop = CROPS[name]
    start_mm = start * 1000 * crop.root_m * crop.saturation
    soil = Soil(start_mm)
    for dt_s, et0_mm_h, rain_mm, irrigation_mm in steps:
        soil = balance(soil, dt_s, crop, et0_mm_h, rain_mm, irrigation_mm)
        assert 0.0 <= soil.water_mm <= 1000 * crop.root_m * crop.saturation + 1e-9
    assert soil.water_mm == pytest.approx(start_mm + booked_mm(soil), abs=1e-6)


@given(CROP_NAMES, st.floats(0.0, 0.43), st.floats(0.0, 12.0))
def test_stress_runs_from_free_drinking_to_wilting(name: str, content: float, et_mm_d: float) -> None:
    crop = CROPS[name]
    factor = stress(Soil(content * 1000 * crop.root_m), crop, et_mm_d)
    assert 0.0 <= factor <= 1.0
    if content >= crop.field_capacity:
        assert factor == 1.0
    if content <= crop.wilting_point:
        assert factor == 0.0


def test_crops_drink_until_they_wilt_and_no_further() -> None:
    crop = CROPS["warm_turf"]
    soil = Soil(1000 * crop.root_m * crop.field_capacity)
    for _ in range(24 * 120):
        soil = balance(soil, 3600.0, crop, 0.3, 0.0, 0.0)
    assert soil.content(crop) == pytest.approx(crop.wilting_point, abs=0.01)


def test_soil_above_field_capacity_drains_in_a_few_days() -> None:
    crop = CROPS["citrus"]
    soil = Soil(1000 * crop.root_m * crop.saturation)
    for _ in range(96):
        soil = balance(soil, 3600.0, crop, 0.0, 0.0, 0.0)
    assert soil.content(crop) == pytest.approx(crop.field_capacity, abs=0.001)


def test_evapotranspiration_of_a_summer_noon_agrees_with_the_paper() -> None:
    """FAO-56 example 19 (N'Diaye, 1 October, 14:00-15:00): 38 degC, 52 %, 3.3 m/s, 2.450 MJ m-2 h-1 → 0.63 mm/h."""
    sky = Sky(38.0, 0.52, 3.3, 2.450 / 0.0036, 0.15, 50.0)
    assert reference_et_mm_h(sky) == pytest.approx(0.63, abs=0.03)


def test_a_run_wets_the_soil_by_its_volume_over_the_area() -> None:
    start = local_ms(2026, 1, 23, 2)
    world = small_world(start)
    asset = asset_of(world, "irrigation_valve")
    thing = world.thing(asset, start)
    assert isinstance(thing, Valve)
    before_ml = thing.volume_ml
    thing.advance(start + 20 * 60_000, {"open": 1.0})
    litres = (thing.volume_ml - before_ml) / 1000
    assert litres == pytest.approx(20 * float(asset.settings["design_flow_l_min"]), rel=0.1)
    assert thing.soil.irrigated_mm == pytest.approx(EFFICIENCY * litres / float(asset.settings["area_m2"]), abs=0.001)
    assert thing.measure()["flow_l_min"] == pytest.approx(float(asset.settings["design_flow_l_min"]), rel=0.12)


def test_a_closed_valve_has_no_flow_and_more_pressure_than_an_open_one() -> None:
    start = local_ms(2026, 7, 23, 2)
    world = small_world(start)
    thing = world.thing(asset_of(world, "irrigation_valve"), start)
    thing.advance(start + 60_000, {"open": 0.0})
    closed = thing.measure()
    thing.advance(start + 120_000, {"open": 1.0})
    opened = thing.measure()
    assert closed["flow_l_min"] == 0.0
    assert float(closed["pressure_bar"] or 0) > float(opened["pressure_bar"] or 0) + 0.5


def test_a_leak_is_flow_through_a_closed_valve_and_the_meter_counts_it() -> None:
    start = local_ms(2026, 7, 23, 2)
    world = small_world(start, faults=certain(FaultName.LEAK))
    thing = world.thing(asset_of(world, "irrigation_valve"), start)
    first = int(thing.measure()["volume_ml"] or 0)
    thing.advance(start + HOUR_MS, {"open": 0.0})
    values = thing.measure()
    assert float(values["flow_l_min"] or 0) > 0.5
    assert int(values["volume_ml"] or 0) - first == pytest.approx(float(values["flow_l_min"] or 0) * 60_000, rel=0.1)


def test_a_clogged_valve_gives_half_its_flow() -> None:
    start = local_ms(2026, 7, 23, 2)
    world = small_world(start, faults=certain(FaultName.CLOGGED))
    asset = asset_of(world, "irrigation_valve")
    thing = world.thing(asset, start)
    thing.advance(start + 60_000, {"open": 1.0})
    assert float(thing.measure()["flow_l_min"] or 0) < 0.6 * float(asset.settings["design_flow_l_min"])


def test_soil_dries_in_summer_and_some_of_it_starts_below_its_refill_point() -> None:
    start = local_ms(2026, 7, 1)
    world = small_world(start, size=30)
    valves = [asset for asset in world.assets if asset.kind == "irrigation_valve"]
    dry = 0
    for asset in valves:
        thing = world.thing(asset, start)
        before = float(thing.measure()["soil_moisture"] or 0)
        dry += before < float(asset.settings["soil_refill_point"])
        thing.advance(start + 5 * DAY_MS, {"open": 0.0})
        assert float(thing.measure()["soil_moisture"] or 0) < before
    assert 4 <= dry <= 20


def test_a_valve_opens_by_lease_reports_and_closes_by_itself() -> None:
    start = local_ms(2026, 7, 23, 2)
    bench = Bench(small_world(start), "irrigation_valve")
    bench.run(60_000)
    now = start + bench.up_ms
    targets = {"open": {"to": True, "until": now + 20 * 60_000, "reason": "rule:water_when_dry"}}
    bench.receive("lease", messages.lease(now, now, targets))
    bench.run(60_000)
    assert bench.device.outputs == {"open": 1.0}
    bench.run(30 * 60_000)
    assert bench.device.outputs == {"open": 0.0}
    thing = bench.device.thing
    assert isinstance(thing, Valve)
    assert thing.soil.irrigated_mm > 1.0
