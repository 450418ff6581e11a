"""What connects to the broker comes out of settings and files, and what is wrong with these is one sentence."""

from pathlib import Path
from typing import Any

import pytest

from adapters.clock import real_ms
from nabd import founding, settings
from nabd.broker_access import broker_access
from nabd.fault import Refused
from nabd.settings import Settings


@pytest.fixture
def city(tmp_path: Path) -> Path:
    founding.establish(tmp_path, (), real_ms())
    return tmp_path


def chosen(city: Path, **changed: Any) -> Settings:
    values = {
        "mqtt_embedded": False,
        "mqtt_host": "broker.berkane.ma",
        "mqtt_port": 8883,
        "mqtt_username": "nabd-platform",
        "mqtt_password_file": str(founding.secret(city, "mqtt_platform_password")),
        "mqtt_ca_file": str(founding.secret(city, "ca.crt")),
        **changed,
    }
    return settings.load(city, None, values)


def test_an_authority_means_tls_that_cannot_be_fooled(city: Path) -> None:
    access = broker_access(chosen(city))
    tls = access.credentials["tls"]
    assert access.address == ("broker.berkane.ma", 8883)
    assert (tls.verify_mode.name, tls.check_hostname, tls.minimum_version.name) == ("CERT_REQUIRED", True, "TLSv1_2")
    assert access.credentials["password"] == founding.secret(city, "mqtt_platform_password").read_text()


def test_without_an_authority_it_is_plain_text(city: Path) -> None:
    assert broker_access(chosen(city, mqtt_ca_file="")).credentials["tls"] is None


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("ca.crt", None, r"\[mqtt\] ca_file .*ca\.crt: no such file; .*nabd init makes it"),
        ("ca.crt", b"not PEM", r"\[mqtt\] ca_file .*is no certificate in PEM"),
        ("mqtt_platform_password", None, r"\[mqtt\] password_file .*cannot be read .*of user nabd-platform"),
        ("mqtt_platform_password", b" \n", r"\[mqtt\] password_file .*is empty; it holds the password of user"),
        ("mqtt_platform_password", b"\xff\xfe", r"\[mqtt\] password_file .*is not one line of printable ASCII"),
    ],
)
def test_a_file_that_cannot_be_used_names_its_setting(
    city: Path, name: str, content: bytes | None, sentence: str
) -> None:
    file = founding.secret(city, name)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Refused, match=sentence):
        broker_access(chosen(city))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"mqtt_embedded": True}, r"\[mqtt\] ca_file .*the embedded broker has no TLS; set \[mqtt\] embedded = false"),
        ({"fleet_lights": 3}, r"a fleet inside nabd up has no credentials; run nabd simulate --credentials FILE"),
    ],
)
def test_what_does_not_go_together_is_said_before_the_start(city: Path, changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        chosen(city, **changed)
