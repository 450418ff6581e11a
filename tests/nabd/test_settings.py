"""Settings come from four places in a fixed order, and every fault is named with its place."""

from pathlib import Path

import pytest

from nabd.fault import Refused
from nabd.settings import FIELDS, Settings, load


def write(folder: Path, text: str) -> Path:
    (folder / "nabd.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_command_line_wins_over_variables_over_the_file_over_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "[http]\nport = 8001\nhost = '0.0.0.0'\n[mqtt]\nport = 1884\n")
    monkeypatch.setenv("NABD_HTTP_PORT", "8002")
    monkeypatch.setenv("NABD_MQTT_PORT", "1885")
    chosen = load(tmp_path, None, {"http_port": 8003, "mqtt_port": None})
    assert (chosen.http_port, chosen.mqtt_port, chosen.http_host) == (8003, 1885, "0.0.0.0")
    assert chosen.log_days_max == Settings().log_days_max


def test_a_variable_of_a_command_s_option_does_not_stop_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NABD_CONSOLE_URL", "https://nabd.berkane.ma")
    assert load(tmp_path, None, {}) == Settings()


def test_every_fault_of_the_file_is_named_at_once_with_its_key_and_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, "[http]\nprot = 1\nport = 99999\n[htpp]\nport = 1\n[store]\nkind = 'oracle'\n")
    with pytest.raises(Refused) as refused:
        load(tmp_path, None, {})
    message = str(refused.value)
    assert "[http] prot: unknown key; known: host, port" in message
    assert "unknown section [htpp]" in message
    assert "[http] port (NABD_HTTP_PORT): 99999 is not allowed" in message
    assert "'oracle' is not one of duckdb" in message


def test_an_unreadable_file_is_named_with_line_and_column(tmp_path: Path) -> None:
    write(tmp_path, "[http]\nport == 3\n")
    with pytest.raises(Refused, match=r"nabd\.toml:2:7: not readable as TOML"):
        load(tmp_path, None, {})


def test_a_config_file_that_does_not_exist_is_refused_and_a_missing_default_one_is_not(tmp_path: Path) -> None:
    assert load(tmp_path, None, {}) == Settings()
    with pytest.raises(Refused, match=r"other\.toml: no such file"):
        load(tmp_path, tmp_path / "other.toml", {})


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nabd.toml").write_bytes(b"[http]\nhost = '\xff'\n")
    with pytest.raises(Refused, match="cannot be read"):
        load(tmp_path, None, {})


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("NABD_HTTP_PORT", "many", "'many' is not allowed"),
        ("NABD_MQTT_EMBEDDED", "perhaps", "'perhaps' is not allowed"),
        ("NABD_HTPP_PORT", "8080", "no such setting"),
        ("NABD_CLOCK_SPEED", "-1", "is not allowed"),
        ("NABD_CLOCK_SPEED", "nan", "is not allowed"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, part: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Refused) as refused:
        load(tmp_path, None, {})
    assert variable in str(refused.value)
    assert part in str(refused.value)


def test_the_embedded_broker_is_not_asked_for_shared_connections(tmp_path: Path) -> None:
    write(tmp_path, "[mqtt]\nconnections = 4\n")
    with pytest.raises(Refused, match="the embedded broker takes 1 only"):
        load(tmp_path, None, {})
    write(tmp_path, "[mqtt]\nconnections = 4\nembedded = false\n")
    assert load(tmp_path, None, {}).mqtt_connections == 4


def test_every_setting_stands_in_the_settings_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    for key in FIELDS:
        section, name = key.split("_", 1)
        assert f"| `[{section}] {name}` " in page, f"docs/settings.md does not mention [{section}] {name}"


def test_the_console_and_the_broker_cannot_have_one_port(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="both are 5000; give each its own"):
        load(tmp_path, None, {"http_port": 5000, "mqtt_port": 5000})
    apart = load(tmp_path, None, {"http_port": 5000, "mqtt_port": 5000, "mqtt_embedded": False})
    assert apart.mqtt_port == 5000


def test_an_empty_host_is_refused_for_it_would_open_the_console_to_everyone(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"\[http\] host .*'' is not allowed"):
        load(tmp_path, None, {"http_host": ""})


@pytest.mark.parametrize("host", ["mqtt..example", ".example", "mqtt example", "m" * 64])
def test_a_host_that_is_no_name_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(Refused, match=r"\[mqtt\] host .* is not allowed"):
        load(tmp_path, None, {"mqtt_host": host})


@pytest.mark.parametrize("host", ["localhost", "mqtt.berkane.example.", "10.0.0.7", "::1", "بركان.example"])
def test_names_and_addresses_are_hosts(tmp_path: Path, host: str) -> None:
    assert load(tmp_path, None, {"mqtt_host": host}).mqtt_host == host


def test_a_user_of_the_broker_without_a_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"\[mqtt\] password_file .*missing; it holds the password of user nabd"):
        load(tmp_path, None, {"mqtt_username": "nabd"})


@pytest.mark.parametrize("given", ["http_port = 1883", "mqtt_port = 8080"])
def test_a_port_that_is_the_others_default_is_found(tmp_path: Path, given: str) -> None:
    section, _, rest = given.partition("_")
    (tmp_path / "nabd.toml").write_text(f"[{section}]\n{rest}\n")
    with pytest.raises(Refused, match="give each its own"):
        load(tmp_path, None, {})
