"""What Grafana reads at its start: no secret in it, a folder a language, alerts that Grafana can take apart."""

from typing import Any

from ruamel.yaml import YAML

from contract.kind import LANGUAGES
from dashboards.provisioning import provisioning
from dashboards.words import FOLDERS


def read(path: str) -> Any:
    return YAML(typ="safe").load(provisioning()[path])


def test_the_data_source_names_a_file_for_its_token_and_variables_for_its_place() -> None:
    (source,) = read("datasources/nabd.yaml")["datasources"]
    assert source["secureJsonData"] == {"httpHeaderValue1": "Token $__file{/run/secrets/grafana_influxdb_token}"}
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    assert (source["url"], source["jsonData"]["dbName"]) == ("$NABD_INFLUXDB_URL", "$NABD_INFLUXDB_BUCKET")
    assert (source["uid"], source["jsonData"]["version"]) == ("nabd-influxdb", "InfluxQL")


def test_every_language_has_a_folder_of_its_own() -> None:
    providers = read("dashboards/nabd.yaml")["providers"]
    assert [one["folder"] for one in providers] == [FOLDERS[language] for language in LANGUAGES]
    assert [one["options"]["path"] for one in providers] == [f"/etc/grafana/dashboards/{one}" for one in LANGUAGES]


def test_an_alert_goes_from_query_to_number_to_bound_and_speaks_three_languages() -> None:
    (group,) = read("alerting/nabd.yaml")["groups"]
    rules = group["rules"]
    assert [rule["uid"] for rule in rules] == [
        "nabd-store-behind", "nabd-not-connected", "nabd-log-full", "nabd-quarantine", "nabd-completeness",
    ]  # fmt: skip
    for rule in rules:
        query, reduced, bound = rule["data"]
        assert (query["refId"], reduced["model"]["expression"], bound["model"]["expression"]) == ("A", "A", "B")
        assert rule["condition"] == bound["refId"] == "C"
        assert bound["model"]["conditions"][0]["evaluator"]["type"] in ("gt", "lt")
        assert {f"summary_{one}" for one in LANGUAGES} <= rule["annotations"].keys()


def test_a_dollar_of_a_query_is_none_of_the_environment() -> None:
    """In a provisioning file Grafana takes `$timeFilter` for a variable of its environment, and `$$` for a dollar."""
    (group,) = read("alerting/nabd.yaml")["groups"]
    for rule in group["rules"]:
        text = rule["data"][0]["model"]["query"]
        assert "$$timeFilter" in text
        assert "$" not in text.replace("$$", "")
