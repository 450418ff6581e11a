"""The dashboards: complete in three languages, typed as Grafana's SDK has it, and made from the kinds alone."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from contract.kind import LANGUAGES, Kind, Labels, Metric, MetricType
from contract.kind_file import load_kinds
from contract.quantity import UNITS
from contract.records import Quality
from dashboards.build import build, contents, text
from dashboards.generated import differing, generated, write
from dashboards.units import GRAFANA
from dashboards.words import all_words, read_words

KINDS = load_kinds()
COMMITTED = Path(__file__).parents[2] / "deploy" / "grafana"
DOCUMENTS = {uid: document for language in LANGUAGES for uid, document in build(KINDS, language).items()}


def panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Without headings."""
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def test_the_committed_files_are_what_their_source_says() -> None:
    assert differing(generated(KINDS), COMMITTED) == [], "run: nabd dashboards build"


def test_a_file_that_was_changed_lost_or_left_over_is_named_and_mended(tmp_path: Path) -> None:
    files = generated(KINDS)
    assert sorted(write(files, tmp_path)) == sorted(files)
    changed = tmp_path / "dashboards/fr/nabd-lighting-fr.json"
    changed.write_text(changed.read_text(encoding="utf-8").replace("Puissance", "Pouvoir"), encoding="utf-8")
    (tmp_path / "provisioning/alerting/nabd.yaml").unlink()
    (tmp_path / "dashboards/fr/nabd-former-fr.json").write_text("{}", encoding="utf-8")
    assert differing(files, tmp_path) == [
        "dashboards/fr/nabd-former-fr.json", "dashboards/fr/nabd-lighting-fr.json", "provisioning/alerting/nabd.yaml",
    ]  # fmt: skip
    write(files, tmp_path)
    assert differing(files, tmp_path) == []


def test_all_languages_have_the_same_texts_none_empty_with_the_same_names_to_fill_in() -> None:
    ours, *others = (words.texts for words in all_words())
    for texts in others:
        assert texts.keys() == ours.keys()
        for key, value in texts.items():
            assert value.strip()
            assert sorted(re.findall(r"\{\w+\}", value)) == sorted(re.findall(r"\{\w+\}", ours[key])), key


def test_every_text_is_shown_somewhere() -> None:
    shown = json.dumps([text(document) for document in DOCUMENTS.values()], ensure_ascii=False)
    shown += json.dumps(generated(KINDS), ensure_ascii=False)
    words = read_words("fr")
    unused = [
        key
        for key, value in words.texts.items()
        if "{" not in value and json.dumps(value, ensure_ascii=False)[1:-1] not in shown
    ]
    assert unused == []


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_a_dashboard_reads_back_through_the_types_of_the_sdk_as_it_is(uid: str) -> None:
    """All but the targets of annotations: the SDK knows only those of Grafana's own data source."""
    register_default_plugins()
    document = json.loads(json.dumps(DOCUMENTS[uid]))
    for marks in document.get("annotations", {}).get("list", []):
        assert marks.pop("target").keys() == {
            "fromAnnotations", "query", "rawQuery", "refId", "tagsColumn", "textColumn",
        }  # fmt: skip
    again = json.loads(json.dumps(model.Dashboard.from_json(document), cls=JSONEncoder))
    assert again == document


def test_uids_ids_and_places_are_stable_and_never_meet() -> None:
    assert len({*DOCUMENTS}) == len(LANGUAGES) * len(contents(KINDS, read_words("fr")))
    for uid, document in DOCUMENTS.items():
        assert document["uid"] == uid
        assert len(uid) <= 40
        ids = [panel["id"] for panel in [*document["panels"], *panels(document)]]
        assert max(Counter(ids).values()) <= 2, "each once, but open panels are in both lists"
        taken: set[tuple[int, int]] = set()
        for panel in document["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not taken & cells, f"{uid}: {panel['title']} lies on another"
            assert place["x"] + place["w"] <= 24
            taken |= cells


def test_the_first_screen_says_what_is_wrong_now() -> None:
    """At 1080p about 26 grid lines are seen, on a tablet about 20: numbers first, then the lists of what is wrong."""
    for name in ("lighting", "waste", "irrigation", "weather-station"):
        first = [panel for panel in DOCUMENTS[f"nabd-{name}-fr"]["panels"] if panel["gridPos"]["y"] < 12]
        assert [panel["title"] for panel in first[:2]] == ["Alarmes ouvertes", "Sans contact"]
        assert [panel["title"] for panel in first[-2:]] == ["Alarmes ouvertes", "Équipements sans contact"]


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_every_panel_has_title_description_unit_and_a_word_for_nothing(uid: str) -> None:
    for panel in panels(DOCUMENTS[uid]):
        assert panel["title"], panel
        assert panel["description"], panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"], panel["title"]
        assert panel["type"] == "table" or defaults["unit"], panel["title"]
        assert panel["datasource"] == {"type": "influxdb", "uid": "nabd-influxdb"}


def test_units_are_those_grafana_knows_and_every_unit_of_a_kind_has_one() -> None:
    known = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
    assert {unit for unit, _ in GRAFANA.values()} <= known
    assert UNITS.keys() <= GRAFANA.keys()


def test_ratios_are_shown_as_percent_between_nothing_and_all() -> None:
    (level,) = [panel for panel in panels(DOCUMENTS["nabd-lighting-en"]) if panel["title"] == "Light level"]
    defaults = level["fieldConfig"]["defaults"]
    assert (defaults["unit"], defaults["min"], defaults["max"]) == ("percentunit", 0, 1)


def test_a_link_leads_to_the_asset_in_the_console_in_the_same_language() -> None:
    for language in LANGUAGES:
        document = build(KINDS, language, "https://nabd.berkane.ma")[f"nabd-lighting-{language}"]
        (console,) = [one for one in document["templating"]["list"] if one["name"] == "console"]
        assert console["query"] == "https://nabd.berkane.ma"
        links = [
            link["url"]
            for panel in panels(document)
            for override in panel["fieldConfig"].get("overrides", [])
            for one in override["properties"]
            if one["id"] == "links"
            for link in one["value"]
        ]
        assert len(links) == 3, "alarms, silent ones, newest readings"
        assert {*links} == {f"${{console}}/{language}/assets/${{__data.fields.asset:percentencode}}"}


def test_variables_are_chained_many_at_once_and_all_at_first() -> None:
    variables = DOCUMENTS["nabd-lighting-fr"]["templating"]["list"]
    commune, zone, circuit = variables[:3]
    assert [one["name"] for one in (commune, zone, circuit)] == ["commune", "zone", "circuit"]
    assert "WHERE" not in commune["query"]
    assert "${commune:regex}" in zone["query"]
    assert "${zone:regex}" in circuit["query"]
    assert all(one["multi"] and one["includeAll"] and one["current"]["value"] == ["$__all"] for one in variables[:3])


def test_each_mark_of_a_reading_is_counted_by_its_bit() -> None:
    (panel,) = [panel for panel in panels(DOCUMENTS["nabd-data-en"]) if "wary" in panel["title"]]
    assert len(panel["targets"]) == len(Quality)
    for target, flag in zip(panel["targets"], Quality, strict=True):
        [(modulus, least)] = re.findall(r'"quality" % (\d+) >= (\d+)', target["query"])
        counted = {value for value in range(1 << len(Quality)) if value % int(modulus) >= int(least)}
        assert counted == {value for value in range(1 << len(Quality)) if value & flag}


def labels(name: str) -> Labels:
    return {"ar": f"{name} ar", "fr": f"{name} fr", "en": f"{name} en"}


def test_a_new_kind_gets_its_dashboard_from_its_file_alone() -> None:
    metrics = {
        "depth_mm": Metric(name="depth_mm", type=MetricType.NUMBER, labels=labels("Depth"), unit="mm"),
        "count": Metric(name="count", type=MetricType.COUNTER, labels=labels("Count")),
        "wet": Metric(name="wet", type=MetricType.BOOLEAN, labels=labels("Wet")),
        "mode": Metric(name="mode", type=MetricType.ENUM, labels=labels("Mode"), values=("calm", "storm")),
    }
    kind = Kind(
        name="drain", version=1, labels=labels("Drain"), icon="water", smart_data_model="", period_s=600,
        metrics=metrics, settings={}, targets={},
    )  # fmt: skip
    document = build({"drain": kind}, "fr")["nabd-drain-fr"]
    shown = {panel["title"]: panel for panel in panels(document)}
    assert document["title"] == "Drain fr"
    assert {"Depth fr", "Count fr", "Wet fr", "Mode fr"} <= shown.keys()
    assert shown["Depth fr"]["fieldConfig"]["defaults"]["unit"] == "lengthmm"
    assert shown["Wet fr"]["fieldConfig"]["defaults"]["unit"] == "percentunit"
    assert [target["alias"] for target in shown["Mode fr"]["targets"]] == ["calm", "storm"]
    assert "mode_calm" in shown["Mode fr"]["targets"][0]["query"]
    columns = {override["matcher"]["options"] for override in shown["Derniers relevés"]["fieldConfig"]["overrides"]}
    assert columns == {"Time", "asset", "zone", *metrics}


def test_no_query_reads_all_fields_or_forgets_the_time() -> None:
    for document in DOCUMENTS.values():
        for panel in panels(document):
            for target in panel["targets"]:
                assert "*" not in target["query"].replace("* 0.001", ""), panel["title"]
                assert "$timeFilter" in target["query"], panel["title"]
