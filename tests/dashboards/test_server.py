"""Push and diff against a server that answers as Grafana's documentation says: nothing done by hand is destroyed."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from contract.kind import LANGUAGES
from dashboards.comparing import differences
from nabd.cli import cli
from tests.dashboards.grafana_server import TOKEN, GrafanaServer, answer

UID = "nabd-lighting-fr"


@pytest.fixture
def grafana() -> Iterator[GrafanaServer]:
    server = GrafanaServer()
    yield server
    server.close()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return file


def run(command: str, url: str, token: Path, *options: str) -> Result:
    arguments = ["dashboards", command, "--url", url, "--token-file", str(token), *options]
    return CliRunner().invoke(cli, arguments)


def push(grafana: GrafanaServer, token: Path, *options: str) -> Result:
    return run("push", grafana.url, token, "--backup", str(token.parent / "kept"), *options)


def saved(grafana: GrafanaServer) -> int:
    return sum(map(len, grafana.dashboards.values()))


def test_a_push_makes_folders_and_dashboards_and_again_changes_nothing(grafana: GrafanaServer, token: Path) -> None:
    first = push(grafana, token)
    assert first.exit_code == 0, first.output
    assert grafana.folders == {"nabd-ar": "Nabd — العربية", "nabd-fr": "Nabd — Français", "nabd-en": "Nabd — English"}
    number = len(grafana.dashboards)
    assert number == saved(grafana) == 7 * len(LANGUAGES)
    assert grafana.dashboards[UID][0]["folder"] == "nabd-fr"
    assert grafana.dashboards[UID][0]["message"].startswith("nabd dashboards push ")
    again = push(grafana, token)
    assert (again.exit_code, again.output, saved(grafana)) == (0, "", number)
    assert run("diff", grafana.url, token).exit_code == 0


def test_a_diff_names_what_is_missing_older_and_edited_and_changes_nothing(grafana: GrafanaServer, token: Path) -> None:
    shown = run("diff", grafana.url, token)
    assert shown.exit_code == 1
    assert f"{UID}: is not in Grafana" in shown.output
    push(grafana, token, "--console-url", "https://old.example")
    older = run("diff", grafana.url, token)
    assert f"{UID}: is an older build" in older.output
    assert '  templating › list › “console” › query: "https://old.example" → "http://127.0.0.1:8080"' in older.output
    grafana.edit(UID, "Mon titre")
    edited = run("diff", grafana.url, token)
    assert f"{UID}: was edited in Grafana" in edited.output
    assert "  panels › “Mon titre”: " in edited.output
    assert {method for method, path in grafana.requests[-5:]} == {"GET"}


def test_an_older_build_is_replaced(grafana: GrafanaServer, token: Path) -> None:
    push(grafana, token, "--console-url", "https://old.example")
    assert push(grafana, token).exit_code == 0
    assert run("diff", grafana.url, token).exit_code == 0


@pytest.mark.parametrize("as_list", [False, True])
def test_a_dashboard_edited_by_hand_is_left_alone_until_it_is_named_and_then_kept(
    grafana: GrafanaServer, token: Path, as_list: bool
) -> None:
    grafana.versions_as_list = as_list
    push(grafana, token)
    grafana.edit(UID, "Mon titre")
    refused = push(grafana, token)
    assert refused.exit_code == 1
    assert f"nabd dashboards push --force {UID}" in refused.stderr
    assert grafana.dashboards[UID][-1]["document"]["panels"][0]["title"] == "Mon titre"
    assert not (token.parent / "kept").exists()
    forced = push(grafana, token, "--force", UID)
    assert forced.exit_code == 0, forced.output
    (kept,) = (token.parent / "kept").iterdir()
    assert kept.name == f"{UID}-v2.json"
    assert json.loads(kept.read_text(encoding="utf-8"))["panels"][0]["title"] == "Mon titre"
    assert run("diff", grafana.url, token).exit_code == 0


def test_the_others_are_pushed_beside_one_that_was_edited(grafana: GrafanaServer, token: Path) -> None:
    push(grafana, token, "--console-url", "https://old.example")
    grafana.edit(UID, "Mon titre")
    assert push(grafana, token).exit_code == 1
    assert run("diff", grafana.url, token).output.count("was edited") == 1
    assert "is an older build" not in run("diff", grafana.url, token).output


def test_a_dashboard_of_the_same_uid_that_nabd_never_pushed_is_left_alone(grafana: GrafanaServer, token: Path) -> None:
    grafana.dashboards[UID] = [
        {"document": {"uid": UID, "title": "Mine", "panels": [], "version": 3}, "message": "", "folder": ""}
    ]
    assert push(grafana, token).exit_code == 1
    assert grafana.dashboards[UID][-1]["document"]["title"] == "Mine"


def test_an_edit_in_the_very_moment_of_a_push_is_not_overwritten(grafana: GrafanaServer, token: Path) -> None:
    push(grafana, token, "--console-url", "https://old.example")

    def edit_first(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/db"):
            grafana.trouble = lambda method, path: None
            for uid in grafana.dashboards:
                grafana.edit(uid, "Mon titre")

    grafana.trouble = edit_first
    told = push(grafana, token)
    assert told.exit_code == 2
    assert "somebody saved it in this moment" in told.stderr
    assert all(one[-1]["document"]["panels"][0]["title"] == "Mon titre" for one in grafana.dashboards.values())


def test_copies_never_overwrite_one_another(grafana: GrafanaServer, token: Path) -> None:
    kept = token.parent / "kept"
    kept.mkdir()
    (kept / f"{UID}-v2.json").write_text("an older copy", encoding="utf-8")
    push(grafana, token)
    grafana.edit(UID, "Mon titre")
    push(grafana, token, "--force", UID)
    assert sorted(path.name for path in kept.iterdir()) == [f"{UID}-v2-2.json", f"{UID}-v2.json"]
    assert (kept / f"{UID}-v2.json").read_text(encoding="utf-8") == "an older copy"


def test_where_no_copy_can_be_kept_nothing_is_replaced(grafana: GrafanaServer, token: Path) -> None:
    push(grafana, token)
    grafana.edit(UID, "Mon titre")
    told = push(grafana, token, "--force", UID, "--backup", str(token / "a file is no folder"))
    assert (told.exit_code, "choose another with --backup" in told.stderr) == (2, True)
    assert grafana.dashboards[UID][-1]["document"]["panels"][0]["title"] == "Mon titre"


def expect(status: int, document: Any) -> Any:
    return lambda method, path: None if path == "/api/health" else (status, document)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (expect(401, answer("unauthorized")), "the token is wrong or has expired"),
        (expect(403, answer("forbidden")), "the token may not do this"),
        (expect(500, {"message": "database is locked"}), "answers 500 (database is locked)"),
        (lambda method, path: (404, "<html>nginx</html>"), "is no Grafana"),
        (lambda method, path: (200, "<html>hello</html>"), "is no Grafana"),
        (lambda method, path: (200, {"status": "ok"}), "is no Grafana"),
        (lambda method, path: (400, answer("provisioned")) if method == "POST" else None, "a provisioned dashboard"),
    ],
)
def test_whatever_goes_wrong_is_one_sentence_with_a_remedy(
    grafana: GrafanaServer, token: Path, trouble: Any, sentence: str
) -> None:
    grafana.trouble = trouble
    told = push(grafana, token)
    assert told.exit_code == 2, told.output
    assert sentence in told.stderr
    assert (told.stderr.count("\n"), "Traceback" in told.stderr, TOKEN in told.output) == (1, False, False)


def test_a_server_that_is_not_there_is_named(token: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        told = run("diff", url, token)
    assert told.exit_code == 2, told.output
    assert f"{url}: cannot be reached" in told.stderr
    assert "mend --url" in told.stderr


def test_a_server_that_answers_slowly_is_not_waited_for_for_ever(grafana: GrafanaServer, token: Path) -> None:
    answered = threading.Event()

    def slowly(method: str, path: str) -> None:
        answered.wait(10)

    grafana.trouble = slowly
    told = run("diff", grafana.url, token, "--timeout", "0.2")
    answered.set()
    assert told.exit_code == 2, told.output
    assert "gave no answer within 0.2 s" in told.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--url", "grafana.city.ma"], "not an address"),
        (["--console-url", "nabd.city.ma"], "--console-url"),
        (["--force", "nabd-lightning-fr"], "no dashboard of Nabd's has this uid"),
        (["--token-file", "/nowhere/token"], "--token-file /nowhere/token: cannot be read"),
    ],
)
def test_options_that_cannot_be_are_refused(
    grafana: GrafanaServer, token: Path, options: list[str], sentence: str
) -> None:
    told = push(grafana, token, *options)
    assert told.exit_code == 2, told.output
    assert sentence in told.stderr


def test_an_empty_token_file_is_refused(grafana: GrafanaServer, token: Path) -> None:
    token.write_text("\n", encoding="utf-8")
    assert "is empty" in push(grafana, token).stderr


def test_differences_name_panels_by_title_and_what_of_them() -> None:
    there = {"id": 3, "version": 9, "panels": [{"title": "Power", "unit": "watt"}, {"title": "Mine"}]}
    wanted = {"panels": [{"title": "Power", "unit": "kwatt"}]}
    assert differences(there, wanted) == [
        'panels › “Power” › unit: "watt" → "kwatt"', 'panels › “Mine”: {"title": "Mine"} → (nothing)',
    ]  # fmt: skip
    assert differences({**wanted, "id": 1, "version": 2}, wanted) == []


def test_a_server_that_drips_its_answer_is_given_up_after_the_same_time(token: Path) -> None:
    """A byte at a time, each sooner than the timeout: only a deadline for the whole answer ends it."""
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
                while not stopping.wait(0.05):
                    peer.sendall(b" ")

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        told = run("push", f"http://127.0.0.1:{listener.getsockname()[1]}", token, "--timeout", "0.4")
        stopping.set()
        dripping.join(10)
    assert told.exit_code == 2, told.output
    assert "gave no answer within 0.4 s about its health" in told.stderr


def test_a_token_file_of_two_lines_is_told_to_keep_one(grafana: GrafanaServer, token: Path) -> None:
    token.write_text(token.read_text() + "\nsecond\n", encoding="utf-8")
    told = push(grafana, token).stderr
    assert f"--token-file {token}: has more than one line; it holds the token of a service account" in told
    assert told.endswith(": leave that one line in it\n")
