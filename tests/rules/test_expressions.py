"""What expressions mean, from text to value."""

from collections.abc import Mapping

import pytest

from rules import tree
from rules.checker import check
from rules.compile import Program
from rules.evaluate import evaluate
from rules.parser import parse
from rules.units import conversion, verdict
from tests.rules.story import KINDS

T, F, U = True, False, None


def judge(text: str, values: Mapping[str, tree.Value], kind: str = "street_light") -> bool | None:
    """The truth of a condition over metrics and settings, compiled and by the reference, which must agree."""
    node = check(parse(text), text, KINDS[kind], KINDS, fresh=False).node

    def read(wanted: tree.Input) -> tree.Value:
        name = getattr(wanted, "metric", "") or getattr(wanted, "name", "")
        return values.get(str(name))

    program = Program([node])
    compiled = program.judge([read(one) for one in program.asset_inputs], [read(one) for one in program.shared_inputs])
    reference = evaluate(node, read)
    assert compiled == (reference,)
    assert reference is None or isinstance(reference, bool)
    return reference


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (T, T, T, T), (T, F, F, T), (T, U, U, T),
        (F, T, F, T), (F, F, F, F), (F, U, F, U),
        (U, T, U, T), (U, F, F, U), (U, U, U, U),
    ],
)  # fmt: skip
def test_and_and_or_are_three_valued_as_in_sql(
    left: bool | None, right: bool | None, both: bool | None, either: bool | None
) -> None:
    values: dict[str, tree.Value] = {"lid_open": left, "fill_level": {T: 0.9, F: 0.1, U: None}[right]}
    assert judge("lid_open and fill_level > 0.5", values, "waste_bin") is both
    assert judge("lid_open or fill_level > 0.5", values, "waste_bin") is either


@pytest.mark.parametrize(("truth", "opposite"), [(T, F), (F, T), (U, U)])
def test_not_unknown_is_unknown(truth: bool | None, opposite: bool | None) -> None:
    assert judge("not lid_open", {"lid_open": truth}, "waste_bin") is opposite


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("level > 0.2 and power_w < 0.7 * rated_power_w * level", T),
        ("level + 0.1 * 2 > 0.95", T),  # * before +
        ("(level + 0.1) * 2 > 1.95", F),
        ("not level > 0.9", T),  # not binds looser than a comparison
        ("not level > 0.9 and power_w > 100", F),  # and tighter than and
        ("level > 0.9 or level > 0.7 and power_w > 100", F),  # and before or
        ("power_w - 10 - 5 == 15 W", T),  # groups to the left
        ("power_w / 2 / 3 == 5 W", T),
        ("-power_w < -29 W", T),
        ("power_w > 0.029 kW", T),
        ("0.03 kW == power_w", T),
        ("level == 80%", T),
        ("min(power_w, 20) == 20 W", T),
        ("max(power_w, 0.02 kW) == 30 W", T),
        ("abs(power_w - 40 W) == 10 W", T),
        ("clamp(power_w, 35, 50) == 35 W", T),
        ("power_w / rated_power_w == 50%", T),
        ("level_by == lease", T),
        ("schedule != level_by", T),
        ('level_by == "lease"', T),
        ("circuit == north-3", None),  # a hyphen is a minus: quotes are needed
        ('circuit == "north-3"', T),
    ],
)
def test_expressions_mean_what_they_say(text: str, expected: bool | None) -> None:
    values: dict[str, tree.Value] = {
        "level": 0.8, "power_w": 30.0, "rated_power_w": 60.0, "level_by": "lease", "circuit": "north-3",
    }  # fmt: skip
    if expected is None:
        with pytest.raises(ValueError, match="needs quotes"):
            judge(text, values)
    else:
        assert judge(text, values) is expected


def test_a_division_by_zero_is_unknown() -> None:
    assert judge("power_w / energy_wh > 1", {"power_w": 5.0, "energy_wh": 0.0}) is None


def test_temperatures_convert_and_their_differences_convert_without_the_offset() -> None:
    assert judge("temperature_c > 149 degF", {"temperature_c": 65.1}, "waste_bin") is True
    assert judge("temperature_c > 149 degF", {"temperature_c": 64.9}, "waste_bin") is False
    difference = "max(temperature_c, 10m) - min(temperature_c, 20m) > 18 degF"
    checked = check(parse(difference), difference, KINDS["waste_bin"], KINDS, fresh=False).node
    assert isinstance(checked, tree.Compare)
    assert checked.right == tree.Constant(10.0)  # 18 degF of difference are 10 degC


def test_units_convert_only_within_their_dimension() -> None:
    assert conversion("l", "ml") == (1000.0, 0.0)
    assert conversion("W", "V") is None


@pytest.mark.parametrize(
    ("operator", "left", "right", "expected"),
    [
        ("<", (0, 1), (1, 2), None), ("<", (0, 1), (1.5, 2), True), ("<", (1, 2), (0, 1), False),
        ("<=", (0, 1), (1, 2), True), (">", (0, 1), (1, 1), False), (">=", (0, 1), (0, 0), True),
        ("==", (0, 1), (2, 2), False), ("==", (1, 1), (1, 1), True), ("!=", (0, 1), (2, 2), True),
        ("!=", (0, 1), (1, 1), None),
    ],
)  # fmt: skip
def test_a_comparison_is_decided_by_ranges_only_when_no_value_could_change_it(
    operator: str, left: tuple[float, float], right: tuple[float, float], expected: bool | None
) -> None:
    assert verdict(operator, left, right) is expected


def test_equal_parts_of_several_rules_are_computed_once() -> None:
    first, second = (
        check(parse(text), text, KINDS["street_light"], KINDS, fresh=False).node
        for text in ("power_w > 0.5 * rated_power_w", "power_w > 0.5 * rated_power_w and level > 0.2")
    )
    assert Program([first, second]).code.count("0.5 *") == 1
