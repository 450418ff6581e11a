"""The doctor looks at a data folder and its settings, and says what sends secrets about or leaves them open."""

from pathlib import Path

import pytest

from adapters.clock import real_ms
from contract.ports import StoreFault
from nabd import doctoring
from nabd.finding import Verdict
from nabd.founding import establish, secret


def found(data: Path, about: str) -> list[tuple[Verdict, str]]:
    return [(one.verdict, one.sentence) for one in doctoring.examine(data, None) if one.about == about]


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("http://127.0.0.1:8086", False),
        ("http://localhost:8086", False),
        ("http://[::1]:8086", False),
        ("https://influxdb.berkane.ma:8086", False),
        ("http://influxdb.berkane.ma:8086", True),
        ("http://10.0.0.7:8086", True),
        ("http://localhost.berkane.ma:8086", True),
    ],
)
def test_a_token_that_would_cross_a_network_in_plain_text_is_a_note_also_while_the_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, is_told: bool
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreFault("it is away")

    monkeypatch.setattr(doctoring, "open_influxdb", away)
    (tmp_path / "nabd.toml").write_text(f'[store]\nkind = "influxdb"\n[influxdb]\nurl = "{url}"\n')
    *notes, (verdict, sentence) = found(tmp_path, "influxdb")
    assert (verdict, sentence) == (Verdict.WRONG, "it is away")
    assert [verdict for verdict, _ in notes] == [Verdict.NOTE] * is_told
    assert all(url in sentence and "https://" in sentence for _, sentence in notes)


def test_secrets_of_a_data_folder_are_looked_at_one_by_one_like_those_of_a_deployment(tmp_path: Path) -> None:
    establish(tmp_path, (), real_ms())
    [(verdict, sentence)] = found(tmp_path, "secrets")
    assert verdict is Verdict.GOOD
    assert f"in {tmp_path / 'secrets'}, for their owner alone" in sentence
    secret(tmp_path, "influxdb_token").write_text("")
    (tmp_path / "secrets").chmod(0o755)
    assert found(tmp_path, "secrets") == [
        (Verdict.WRONG, f"{tmp_path / 'secrets'} is open to others (mode 755); chmod 700 {tmp_path / 'secrets'}")
    ]
    [(verdict, sentence)] = found(tmp_path, "influxdb_token")
    assert verdict is Verdict.WRONG
    assert f"is empty; remove it, then nabd init --data {tmp_path} makes it" in sentence
