"""https to InfluxDB: the authority of the settings, and only that, says whether the server is the right one."""

import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters import certificates
from adapters.clock import real_ms
from adapters.stores.influx_admin import InfluxAdmin, InfluxFault
from adapters.stores.influx_store import InfluxStore
from contract.kind_file import load_kinds
from contract.ports import StoreFault
from nabd import settings
from nabd.fault import Refused
from nabd.storing import influxdb_authority
from stand.between import Between, between
from tests.adapters_stores.entries import AT_MS, telemetry


def authority(folder: Path) -> tuple[Path, bytes]:
    """(its certificate, its key)"""
    folder.mkdir()
    key = certificates.new_key()
    (folder / "ca.crt").write_bytes(certificates.authority(key, real_ms()))
    return folder / "ca.crt", key


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return tmp_path / "city" / "ca.crt"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Between]:
    """Takes every write, over TLS, with a certificate of the city's own authority."""
    ca_file, ca_key = authority(tmp_path / "city")
    key = certificates.new_key()
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "crt").write_bytes(certificates.server(key, ["127.0.0.1"], ca_key, ca_file.read_bytes(), real_ms()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    with between("http://127.0.0.1:1", context) as server:
        server.choose = lambda path, body: (204, {}, b"")
        yield server


def store(url: str, ca_file: Path | None) -> InfluxStore:
    return InfluxStore(url, "nabd", "nabd", "token", load_kinds(), 5.0, ca_file=str(ca_file or ""))


def test_a_server_that_the_citys_authority_signed_is_written_to(server: Between, ca_file: Path) -> None:
    with closing(store(server.url, ca_file)) as opened:
        assert opened.write([telemetry(1, 1)], AT_MS) == 1
    assert any(b"street_light" in body for _, body in server.asked)


def test_without_its_authority_or_with_another_nothing_is_sent_and_the_setting_is_named(
    server: Between, tmp_path: Path
) -> None:
    other, _ = authority(tmp_path / "other")
    for wrong in (None, other):
        with closing(store(server.url, wrong)) as opened, pytest.raises(StoreFault, match=r"\[influxdb\].*ca_file"):
            opened.write([telemetry(1, 1)], AT_MS)
    assert not server.asked, "not even the token"


def test_whoever_founds_the_bucket_looks_at_the_certificate_too(server: Between, ca_file: Path) -> None:
    server.choose = lambda path, body: (200, {"Content-Type": "application/json"}, b'{"allowed": false}')
    assert not InfluxAdmin(server.url, "nabd", "admin", "word", 5.0, str(ca_file)).set_up("nabd")
    with pytest.raises(InfluxFault):
        InfluxAdmin(server.url, "nabd", "admin", "word", 5.0).set_up("nabd")


def test_a_file_that_is_no_authority_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    for name, fault in (("ca.crt", "is no certificate in PEM"), ("absent", "no such file")):
        chosen = settings.Settings(influxdb_url="https://127.0.0.1", influxdb_ca_file=str(tmp_path / name))
        with pytest.raises(Refused, match=rf"^\[influxdb\] ca_file .*{name}: {fault}"):
            influxdb_authority(chosen)


def test_an_authority_for_plain_text_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "nabd.toml").write_text('[influxdb]\nca_file = "ca.crt"\n')
    with pytest.raises(Refused, match=r"\[influxdb\] ca_file .*url is not https"):
        settings.load(tmp_path, None, {})
