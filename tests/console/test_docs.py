"""docs/api.md says what the API does: every address, every kind of problem, no more and no less."""

import re
from pathlib import Path

from console.problems import PROBLEMS
from tests.console.client import ApiClient

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| (GET|POST|DELETE) \| (.+?) \|", re.MULTILINE)


def test_every_address_is_documented_and_every_documented_one_exists(client: ApiClient) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    real = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    told = {(method, path) for method, cell in ROW.findall(text) for path in re.findall(r"`(/[^`]*)`", cell)}
    assert told == real


def test_every_kind_of_problem_is_documented() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (.+) \|$", text, re.MULTILINE)
    assert {word: (int(status), title) for word, status, title in rows} == dict(PROBLEMS)


def test_the_examples_of_the_docs_work(client: ApiClient) -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    posting = r"curl -X POST localhost:8080(\S+) -H 'content-type: application/json' -d '(\{.*?\})'"
    bodies = re.findall(posting, text, re.DOTALL)
    assert [path for path, _ in bodies] == ["/api/v1/devices", "/api/v1/intents", "/api/v1/quarantine/replay"]
    for path, body in bodies:
        response = client.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code == (200 if "quarantine" in path else 201), response.text
    (readings,) = re.findall(r"curl 'localhost:8080(\S+)'", text)
    assert client.get(readings).json()["unit"] == "W"
