"""A kind file is read whole or refused with every fault, each with its line and column."""

from pathlib import Path

import pytest

from contract.document import DocumentFault
from contract.kind import LANGUAGES, MetricType, SettingFault, check_settings
from contract.kind_file import load_kinds, read_kind

CASES = Path(__file__).parent / "kind_faults"


def test_the_four_kinds_of_the_city_are_there() -> None:
    assert set(load_kinds()) == {"street_light", "waste_bin", "irrigation_valve", "weather_station"}


def test_every_shipped_metric_setting_and_target_has_a_label_in_every_language_and_numbers_have_units() -> None:
    for kind in load_kinds().values():
        labelled = [kind.labels]
        labelled += [metric.labels for metric in kind.metrics.values()]
        labelled += [setting.labels for setting in kind.settings.values()]
        labelled += [target.labels for target in kind.targets.values()]
        for labels in labelled:
            assert all(labels[language] for language in LANGUAGES), kind.name
        for metric in kind.metrics.values():
            numeric = metric.type in (MetricType.NUMBER, MetricType.COUNTER)
            assert bool(metric.unit) is numeric, metric.name
            assert bool(metric.unit_code) is numeric, metric.name


def test_a_valve_has_hard_limits_is_closed_in_doubt_and_does_not_resume() -> None:
    target = load_kinds()["irrigation_valve"].targets["open"]
    assert (target.safe, target.resume) == (0.0, False)
    assert (target.run_limit, target.day_limit, target.rest_limit) == ("open_s_max", "open_s_max_per_day", "rest_s_min")


@pytest.mark.parametrize("case", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_faulty_file_is_refused_with_exactly_the_faults_beside_it(case: Path) -> None:
    with pytest.raises(DocumentFault) as refused:
        read_kind(case.name, case.read_text(encoding="utf-8"))
    found = [str(fault) for fault in refused.value.faults]
    assert found == case.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


def test_a_folder_names_the_faults_of_all_its_files_and_a_kind_defined_twice(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: 1\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("- no mapping\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_bytes(b"kind: \xff\n")
    shipped = Path(__file__).parents[2] / "contract" / "kinds" / "waste_bin.yaml"
    (tmp_path / "d.yaml").write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(DocumentFault) as refused:
        load_kinds(tmp_path)
    message = str(refused.value)
    assert "a.yaml:1:7: kind: 1 must be a name" in message
    assert "b.yaml:1:1: the file must be a mapping" in message
    assert "c.yaml:1:1: not UTF-8 at byte 6" in message
    assert "d.yaml:1:1: kind 'waste_bin' is defined twice" in message


def test_settings_are_completed_with_defaults_and_all_their_faults_are_named() -> None:
    light = load_kinds()["street_light"]
    assert check_settings(light, {"rated_power_w": 90}) == {
        "rated_power_w": 90.0,
        "circuit": "unassigned",
        "lighting_class": "m4",
    }
    with pytest.raises(SettingFault) as refused:
        check_settings(light, {"rated_power_w": 0, "circuit": "", "lighting_class": "m9", "colour": "red"})
    assert [fault.split(":")[0] for fault in refused.value.faults] == [
        "colour",
        "rated_power_w",
        "circuit",
        "lighting_class",
    ]


@pytest.mark.parametrize("value", [True, None, float("nan"), float("inf"), "60", [60], 1e12])
def test_a_number_setting_takes_numbers_in_range_only(value: object) -> None:
    valve = load_kinds()["irrigation_valve"]
    given = {"area_m2": value}
    if value is None:
        assert check_settings(valve, {})["area_m2"] == 400.0
    else:
        with pytest.raises(SettingFault, match="area_m2"):
            check_settings(valve, given)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5])
def test_an_integer_setting_takes_whole_numbers_only(value: float) -> None:
    with pytest.raises(SettingFault, match="open_s_max"):
        check_settings(load_kinds()["irrigation_valve"], {"open_s_max": value})
