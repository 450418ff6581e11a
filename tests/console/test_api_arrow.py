"""/readings.arrow: a whole stream of typed columns, bounded however slow its reader, and told when it is broken off."""

import asyncio
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from adapters.log.sqlite_log import SqliteLog
from adapters.state.sqlite_state import SqliteState
from adapters.stores.duckdb_store import DuckStore
from console.app import create_app
from console.platform import Platform
from console.server import Server
from console.streams import Streams
from contract.extracts import Wanted
from contract.kind_file import load_kinds
from contract.ports import StoreFault
from nabd.ports import listen
from nabd.storing import extracts_of
from tests.console.client import ApiClient
from tests.console.demo_platform import DemoCity
from tests.waiting import until

DOCS = Path(__file__).parents[2] / "docs"
ROWS = 10_000


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoCity]:
    folder = tmp_path_factory.mktemp("data")
    log = SqliteLog(folder / "log.db", bytes_max=100_000_000, days_max=30)
    state, store = SqliteState(folder / "state.db"), DuckStore(folder / "store.duckdb", load_kinds())
    city = DemoCity(lights=14, speed=1.0, rooms=(log, store, state))
    city.extracts = extracts_of(store, city.kinds)
    city.history(hours=7)
    yield city
    for room in (store, state, log):
        room.close()


@pytest.fixture(scope="module")
def client(city: DemoCity) -> Iterator[ApiClient]:
    with closing(ApiClient(create_app(city.platform(), pages=False))) as client:
        yield client


def table(answer: httpx.Response) -> pa.Table:
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


def test_a_day_of_a_kind_comes_as_columns_with_types_and_units(client: ApiClient) -> None:
    answer = client.get("/api/v1/readings.arrow?kind=street_light")
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    found = table(answer)
    assert found.num_rows == int(answer.headers["nabd-readings"]) > 100
    assert found.schema.field("voltage_v").metadata[b"unit"] == b"V"
    assert found["measured_at"].to_pylist() == sorted(found["measured_at"].to_pylist())
    one = table(client.get("/api/v1/readings.arrow?kind=street_light&device=lamp-001&device=lamp-002&metric=voltage_v"))
    assert set(one["device"].to_pylist()) == {"lamp-001", "lamp-002"}
    assert "level" not in one.schema.names
    bounds = "from=2026-11-23T12:00:00Z&to=2026-11-23T13:00:00Z"
    some = table(client.get(f"/api/v1/readings.arrow?kind=street_light&{bounds}&quality=good"))
    assert 0 < some.num_rows < found.num_rows
    assert {at.hour for at in some["measured_at"].to_pylist()} == {12}
    assert set(some["quality"].to_pylist()) == {0}


def test_its_head_says_how_many_will_come_and_gives_none(
    client: ApiClient, city: DemoCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwanted = (pytest.fail("nobody wants the readings") for _ in range(1))
    monkeypatch.setattr(city.extracts, "tables", lambda *_: unwanted)
    head = client._send("HEAD", "/api/v1/readings.arrow?kind=street_light", {})
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["nabd-readings"]) > 100
    assert client._send("HEAD", "/api/v1/readings.arrow?kind=no", {}).status_code == 422


def test_nothing_found_is_a_whole_stream_without_rows(client: ApiClient) -> None:
    assert table(client.get("/api/v1/readings.arrow?kind=waste_bin&asset=nobody")).num_rows == 0


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("kind=street_lihgt", "kind: 'street_lihgt' is not a kind; did you mean 'street_light'?"),
        ("kind=street_light&metric=power", "metric: street_light has no 'power'"),
        ("kind=street_light&quality=fine", "quality: 'fine' is none of good, clock_held"),
        ("kind=street_light&from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z", "from: must lie before to"),
        ("kind=street_light&from=yesterday", "from: 'yesterday' is not an RFC 3339 time"),
        ("kind=street_light&start=2026-11-24T00:00:00Z", "query.start: unknown parameter"),
        ("kind=street_light" + "&zone=x" * 201, "at most 200"),
    ],
)
def test_a_wrong_question_is_refused_with_the_remedy(client: ApiClient, query: str, sentence: str) -> None:
    answer = client.get(f"/api/v1/readings.arrow?{query}")
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]


def test_a_platform_without_bulk_says_so(city: DemoCity) -> None:
    with closing(ApiClient(create_app(replace(city.platform(), extracts=None), pages=False))) as client:
        assert client.get("/api/v1/readings.arrow?kind=street_light").status_code == 503


class Endless:
    """Extracts without an end, or with a fault after some tables; counts what it was asked for."""

    def __init__(self, faults_after: int | None = None) -> None:
        self.made, self.faults_after = 0, faults_after
        self.threads: set[str] = set()
        self.table = pa.table({"seq": pa.array(range(ROWS), pa.int64()), "text": ["x" * 90] * ROWS})

    def schema(self, kind: str, metrics: tuple[str, ...] = ()) -> Any:
        return self.table.schema

    def count(self, kind: str, wanted: Wanted) -> int:
        if self.faults_after == 0:
            raise StoreFault("the store is away")
        return 1

    def tables(self, kind: str, wanted: Wanted) -> Iterator[Any]:
        while self.made != self.faults_after:
            self.made += 1
            self.threads.add(threading.current_thread().name)
            yield self.table
        raise StoreFault("the store is away")


@asynccontextmanager
async def served(platform: Platform) -> AsyncIterator[int]:
    """The port it answers on."""
    with listen("127.0.0.1", 0, "--http-port") as listener:
        server = Server(create_app(platform, pages=False), listener)
        await server.start()
        yield listener.getsockname()[1]
        await server.stop()


def figure(platform: Platform, name: str, **labels: str) -> float:
    value = platform.registry.get_sample_value(name, labels)
    assert value is not None
    return value


def asking(port: int) -> socket.socket:
    """A connection that has asked for everything and reads nothing yet."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"GET /api/v1/readings.arrow?kind=street_light HTTP/1.1\r\nHost: nabd\r\n\r\n")
    return connection


def test_readers_that_take_nothing_cost_a_few_tables_and_block_nobody_and_more_of_them_are_refused(
    city: DemoCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, extracts = city.platform(), Endless()
    platform = replace(platform, extracts=extracts)

    async def play() -> None:
        async with served(platform) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            slow = [asking(port) for _ in range(4)]
            await until(lambda: figure(platform, "nabd_streams_open") == 4, "four readers")
            await until(lambda: extracts.made >= 8, "each has its first tables")
            refused = await client.get("/api/v1/readings.arrow?kind=street_light")
            assert refused.status_code == 503
            assert "4 is the most" in refused.json()["detail"]
            assert refused.headers["retry-after"] == "5"
            assert figure(platform, "nabd_streams_refused_total") == 1
            for _ in range(20):
                assert (await client.get("/api/v1/kinds")).status_code == 200
            assert extracts.made < 4 * 20, "tables are made as they are taken"
            assert all(name.startswith("streams") for name in extracts.threads)
            for connection in slow:
                connection.close()
            await until(lambda: figure(platform, "nabd_streams_open") == 0, "who went away has no place any more")
            assert figure(platform, "nabd_streams_ended_total", how="gone") == 4
            made = extracts.made
            assert (await client.get("/api/v1/kinds")).status_code == 200
            assert extracts.made == made

    asyncio.run(play())


def test_a_reader_that_stalls_for_too_long_loses_its_place(city: DemoCity, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = replace(city.platform(), extracts=Endless())
    defaults = Streams.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "stalled_s", 0.3)

    async def play() -> None:
        async with served(platform) as port:
            with closing(asking(port)):
                await until(lambda: figure(platform, "nabd_streams_ended_total", how="stalled") == 1, "it is ended")
                assert figure(platform, "nabd_streams_open") == 0

    asyncio.run(play())


def test_a_platform_that_stops_waits_for_no_reader(
    city: DemoCity, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    platform = replace(city.platform(), extracts=Endless())
    monkeypatch.setattr("console.server.STOP_S", 1)

    async def play() -> None:
        async with served(platform) as port:
            connection = asking(port)
            await until(lambda: figure(platform, "nabd_streams_open") == 1, "a reader")
        await until(lambda: figure(platform, "nabd_streams_ended_total", how="stopped") == 1, "it is ended")
        connection.close()

    asyncio.run(play())
    assert "Traceback" not in caplog.text


def test_a_store_that_fails_in_the_midst_breaks_the_answer_off_so_that_nobody_takes_it_for_whole(
    city: DemoCity,
) -> None:
    platform = replace(city.platform(), extracts=Endless(faults_after=3))

    async def play() -> None:
        async with served(platform) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/api/v1/readings.arrow?kind=street_light")
            assert figure(platform, "nabd_streams_ended_total", how="failed") == 1

    asyncio.run(play())


def test_a_store_that_is_away_at_the_start_is_told_as_everywhere(city: DemoCity) -> None:
    platform = replace(city.platform(), extracts=Endless(faults_after=0))
    with closing(ApiClient(create_app(platform, pages=False))) as client:
        answer = client.get("/api/v1/readings.arrow?kind=street_light")
        assert answer.status_code == 503
        assert "the store is away" in answer.json()["detail"]
        assert figure(platform, "nabd_streams_open") == 0


def test_the_notebook_of_the_docs_works(city: DemoCity, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?readings\.arrow.*?)```", text, re.DOTALL)
    assert len(code.split("\n")) <= 7, "five lines, a blank one that the formatter wants, and the end"

    async def play() -> None:
        async with served(city.platform()) as port:
            here: dict[str, Any] = {}
            there = code.replace("localhost:8080", f"127.0.0.1:{port}")
            await asyncio.to_thread(exec, there, here)
            assert here["table"].num_rows > 100
            assert here["table"].schema.field("power_w").metadata[b"unit"] == b"W"

    asyncio.run(play())
