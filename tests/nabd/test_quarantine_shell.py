"""An act on the quarantine that goes in several requests: a fault of one does not hide what those before it did."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.platform_client import PlatformFault
from nabd import quarantine_shell
from nabd.fault import Refused

FAULT = "POST /api/v1/quarantine: 409 row 412 is not there any more"
DATA = Path("data")


class Client:
    """A thousand rows; the third act on them fails."""

    def __init__(self) -> None:
        self.asked: list[int | list[int]] = []

    def get(self, path: str, **wanted: object) -> Any:
        return {"items": [{"number": 1_000}], "total": 1_000}

    def post(self, path: str, request: dict[str, Any]) -> Any:
        self.asked.append(request["numbers"][0] if "numbers" in request else request.get("after", 0))
        if len(self.asked) == 3:
            raise PlatformFault(FAULT)
        after = 200 * len(self.asked)
        stays = {"number": after, "stored": 0, "stays": True, "code": "too_old", "sentence": "too old"}
        stored = {"number": after - 1, "stored": 1, "stays": False}
        following = {} if "numbers" in request else {"next": after}
        return {"items": [stored, stays], "dropped": 200} | following


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr(quarantine_shell, "_client", lambda data, url: client)
    return client


def test_what_a_drop_let_go_of_before_a_fault_is_said(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match="row 412"):
        quarantine_shell.drop(DATA, None, [], {}, every=True, by="amina", yes=True)
    assert capsys.readouterr().out == "400 rows dropped\n"
    assert client.asked == [0, 200, 400]


def test_what_a_replay_stored_before_a_fault_is_said_and_nothing_of_what_it_did_not_come_to(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = list(range(1, 1_001))
    with pytest.raises(Refused, match="row 412"):
        quarantine_shell.replay(DATA, None, numbers, {}, every=False, by="amina", as_json=False)
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "4 rows replayed: 2 readings stored, 2 rows stay"
    assert "not there" not in told.err
    client.asked.clear()
    with pytest.raises(Refused, match="row 412"):
        quarantine_shell.replay(DATA, None, numbers, {}, every=False, by="amina", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["stored"], document["stay"], document["not_there"]) == (2, 2, [])
