"""What only a server behind a network can get wrong."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from adapters.stores.influx_store import InfluxStore
from contract.annals import Point
from contract.ports import StoreFault
from contract.quarantine import Quarantined
from contract.records import Telemetry
from stand.between import Answer, Between, between
from stand.influxdb import InfluxServer
from tests.adapters_stores.aggregating import aggregates, drain
from tests.adapters_stores.conftest import KINDS, influx_store
from tests.adapters_stores.entries import AT_MS, telemetry

pytestmark = pytest.mark.services


@pytest.fixture
def store(influx: InfluxServer, influx_bucket: str) -> Iterator[InfluxStore]:
    with closing(influx_store(influx, influx_bucket)) as store:
        yield store


@pytest.fixture
def proxy(influx: InfluxServer) -> Iterator[Between]:
    with between(influx.url) as proxy:
        yield proxy


@pytest.fixture
def through(influx: InfluxServer, influx_bucket: str, proxy: Between) -> Iterator[InfluxStore]:
    """A store that reaches the server by the proxy."""
    with closing(InfluxStore(proxy.url, influx.org, influx_bucket, influx.token, KINDS)) as store:
        yield store


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    content = json.dumps({"code": code, "message": message}).encode()
    return status, {"Content-Type": "application/json", **headers}, content


def refuses(store: InfluxStore, *parts: str) -> StoreFault:
    """Writing is a StoreFault that says so, names where, and has one line."""
    with pytest.raises(StoreFault) as caught:
        store.write([telemetry(1, 1)], AT_MS)
    for part in (*parts, store.where):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


# -- away, slow, shut


def test_a_server_that_is_not_there_is_named_with_the_remedy() -> None:
    with closing(InfluxStore("http://127.0.0.1:1", "nabd", "lamps", "x", KINDS)) as store:
        refuses(
            store,
            "127.0.0.1:1",
            "org nabd",
            "bucket lamps",
            "cannot be reached (Connection refused)",
            "[influxdb] url",
        )
        with pytest.raises(StoreFault, match="cannot be reached"):
            store.position()


def test_a_host_without_a_name_is_named_with_the_remedy() -> None:
    with closing(InfluxStore("http://influx.invalid:8086", "nabd", "nabd", "x", KINDS)) as store:
        refuses(store, "influx.invalid", "cannot be reached")


def test_a_frozen_server_is_a_fault_in_time_and_nothing_is_lost_when_it_wakes(tmp_path: Path) -> None:
    server = InfluxServer(tmp_path / "influxdb")
    try:
        store = influx_store(server, server.bucket, timeout_s=2.0)
        store.write([telemetry(1, 1)], AT_MS)
        server.freeze()
        refuses(store, "gave no answer within 2 s")
        with pytest.raises(StoreFault, match="gave no answer within"):
            store.position()
        with pytest.raises(StoreFault, match="gave no answer within"):
            store.count()
        server.thaw()
        store.write([telemetry(2, 2)], AT_MS)
        assert (store.position(), store.count()) == (2, 2)
        store.close()
    finally:
        server.end()


def test_a_server_that_answers_slowly_is_a_fault_and_writing_again_stores_once(
    influx: InfluxServer, influx_bucket: str, through: InfluxStore, proxy: Between
) -> None:
    proxy.pass_on.clear()
    with closing(InfluxStore(proxy.url, influx.org, influx_bucket, influx.token, KINDS, 0.5)) as hasty:
        refuses(hasty, "gave no answer within 0.5 s")
    proxy.pass_on.set()
    through.write([telemetry(1, 1)], AT_MS)
    assert (through.position(), through.count()) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        (error(500, "internal error", "engine: no space left on device"), ("500", "make room on the server's disk")),
        (error(500, "internal error", "unexpected"), ("500 (unexpected)", "the server's own log")),
        ((502, {}, b"<html>bad gateway</html>"), ("502",)),
        ((502, {}, b""), ("502",)),
        # Not the words of an InfluxDB: a proxy's mistake must never put readings into quarantine.
        ((400, {}, b"bad request"), ("400",)),
        (error(422, "invalid", "organization is strange"), ("422",)),
    ],
)
def test_what_a_server_or_a_proxy_answers_is_said_and_tried_again(
    through: InfluxStore, proxy: Between, answer: Answer, parts: tuple[str, ...]
) -> None:
    proxy.choose = lambda path, body: answer
    refuses(through, *parts)
    with pytest.raises(StoreFault):
        through.count()
    proxy.choose = lambda path, body: None
    through.write([telemetry(1, 1)], AT_MS)
    assert (through.position(), through.count()) == (1, 1)


@pytest.mark.parametrize(("status", "code"), [(429, "too many requests"), (503, "unavailable")])
def test_a_server_with_too_much_to_do_says_when_to_come_again(
    through: InfluxStore, proxy: Between, status: int, code: str
) -> None:
    proxy.choose = lambda path, body: error(status, code, "later", **{"Retry-After": "7"})
    assert refuses(through, str(status), "too much to do").retry_after_s == 7.0
    proxy.choose = lambda path, body: error(status, code, "later")
    assert refuses(through, str(status)).retry_after_s == 0.0


def test_an_answer_that_is_no_influxdbs_is_said(through: InfluxStore, proxy: Between) -> None:
    proxy.choose = lambda path, body: (200, {}, b"<html>welcome</html>")
    with pytest.raises(StoreFault, match="answers what is no InfluxDB's"):
        through.count()


# -- token, bucket, organisation


def test_a_wrong_token_is_named_and_a_mended_one_holds_without_a_restart(
    influx: InfluxServer, influx_bucket: str
) -> None:
    tokens = ["wrong"]
    with closing(InfluxStore(influx.url, influx.org, influx_bucket, lambda: tokens[0], KINDS)) as store:
        fault = refuses(store, "401", "[influxdb] token_file")
        assert "wrong;" not in str(fault)
        with pytest.raises(StoreFault, match="401"):
            store.position()
        tokens[0] = influx.token
        refuses(store, "401")  # with this answer the file is read anew
        store.write([telemetry(1, 1)], AT_MS)
        assert store.count() == 1


def test_a_token_that_may_only_read_or_is_of_another_bucket_is_named(influx: InfluxServer, influx_bucket: str) -> None:
    other = influx.add_bucket(f"{influx_bucket}-other")
    _, reads = influx.add_token(other, "read")
    with closing(InfluxStore(influx.url, influx.org, f"{influx_bucket}-other", reads, KINDS)) as store:
        refuses(store, "403", "read and write access")
        assert store.count() == 0
        with pytest.raises(StoreFault, match="403"):
            store.check_access()
    alien = InfluxStore(influx.url, influx.org, influx_bucket, reads, KINDS)
    with closing(alien), pytest.raises(StoreFault, match="there is none, or the token may not read it"):
        alien.count()


def test_a_bucket_or_organisation_there_is_none_of_is_named(influx: InfluxServer) -> None:
    with closing(InfluxStore(influx.url, influx.org, "nowhere", influx.token, KINDS)) as store:
        refuses(store, "bucket nowhere", "cannot be read: there is none", "make the bucket")
        with pytest.raises(StoreFault, match="cannot be read: there is none"):
            store.position()
    with closing(InfluxStore(influx.url, "nobody", "nabd", influx.token, KINDS)) as store:
        refuses(store, "404", '"nobody" not found')


def test_access_is_checked_and_the_time_a_bucket_keeps_is_told(
    influx: InfluxServer, influx_bucket: str, store: InfluxStore
) -> None:
    assert store.check_access() == 0
    bucket = influx.add_bucket(f"{influx_bucket}-month", keep_s=30 * 86_400)
    _, token = influx.add_token(bucket, "read", "write")
    with closing(InfluxStore(influx.url, influx.org, f"{influx_bucket}-month", token, KINDS)) as short:
        assert short.check_access() == 30 * 86_400


# -- refused for good


def test_of_a_batch_that_is_refused_in_part_the_rest_is_stored_and_each_refused_line_put_away(
    influx: InfluxServer, influx_bucket: str, store: InfluxStore
) -> None:
    """An old bucket in which power_w is a text: InfluxDB never takes a number for it."""
    influx.write(f'street_light,device=old power_w="much" {AT_MS * 1_000_000}', influx_bucket)
    entries = [
        telemetry(n, n * 10, {"power_w": 5.0} if n % 3 == 0 else {"level": 0.5}, readings=4) for n in range(1, 31)
    ]
    away: list[Quarantined] = []
    assert store.write(entries, AT_MS, away.extend) == 80
    assert (store.count(), store.position()) == (80, 30)
    wanted = {seq for entry in entries[2::3] for seq in _seqs(entry.record)}
    assert {one.seq for one in away} == wanted
    assert len(away) == 40
    one = min(away, key=lambda one: one.seq or 0)
    assert (one.code, one.device, one.stream, one.topic) == (
        "store_refused", "lamp-1", "9f3c01aa", "nabd/1/lamp-1/telemetry",
    )  # fmt: skip
    assert (one.seq, one.received_at_ms) == (30, AT_MS + 3)
    assert one.payload.startswith(b"street_light,asset=pole-1,device=lamp-1 stream=")
    assert b"power_w=5.0" in one.payload
    assert "field type conflict" in one.sentence


def test_what_was_refused_is_stored_once_when_the_server_takes_it_and_says_why_while_it_does_not(
    influx: InfluxServer, influx_bucket: str
) -> None:
    """A bucket that keeps a day only, and then a year."""
    name = f"{influx_bucket}-kept"
    bucket_id = influx.add_bucket(name, keep_s=86_400)
    old = [telemetry(n, n, at_ms=influx.now_ms() - 10 * 86_400_000 + n) for n in range(1, 6)]
    with closing(InfluxStore(influx.url, influx.org, name, influx.token, KINDS)) as store:
        away: list[Quarantined] = []
        store.write(old, AT_MS, away.extend)
        lines = [one.payload for one in away]
        assert len(lines) == 5
        assert all("refuses this line for good" in told for told in store.again(lines, AT_MS))
        assert store.count() == 0
        influx.api(
            "PATCH", f"/api/v2/buckets/{bucket_id}", retentionRules=[{"type": "expire", "everySeconds": 365 * 86_400}]
        )
        for _ in range(2):
            assert store.again(lines, AT_MS + 7) == [""] * 5
        found = sorted(store.history(0, 2**53), key=lambda one: one.record.readings[0].seq)
        assert [one.record.readings[0].seq for one in found] == [1, 2, 3, 4, 5]
        assert {one.stored_at_ms for one in found} == {AT_MS + 7}
        drain(store, influx.now_ms())
        five, hours = aggregates(store)
        assert [sum(float(row.cells["readings"]) for row in rows) for rows in (five, hours)] == [5, 5]


def test_without_a_place_for_it_what_is_refused_moves_nothing(
    influx: InfluxServer, influx_bucket: str, store: InfluxStore
) -> None:
    influx.write(f'street_light,device=old power_w="much" {AT_MS * 1_000_000}', influx_bucket)
    refuses(store, "refuses 1 readings", "field type conflict")
    assert store.position() == 0

    def full(_: Sequence[Quarantined]) -> None:
        raise OSError("the log is full")

    with pytest.raises(OSError, match="the log is full"):
        store.write([telemetry(1, 1)], AT_MS, full)
    assert store.position() == 0


def test_what_a_retention_period_no_longer_takes_is_put_away_with_few_requests(
    influx: InfluxServer, influx_bucket: str, proxy: Between
) -> None:
    bucket = f"{influx_bucket}-day"
    influx.add_bucket(bucket, keep_s=86_400)
    now_ms = influx.now_ms()
    with closing(InfluxStore(proxy.url, influx.org, bucket, influx.token, KINDS)) as store:
        old = [telemetry(n, n, at_ms=now_ms - 10 * 86_400_000 + n) for n in range(1, 501)]
        new = [telemetry(n, n, at_ms=now_ms - n) for n in range(501, 1001)]
        mixed = [entry for pair in zip(old, new, strict=True) for entry in pair]
        away: list[Quarantined] = []
        assert store.write(mixed, AT_MS, away.extend) == 500
        assert {one.seq for one in away} == set(range(1, 501))
        assert len(proxy.asked) < 30
        assert (store.count(), store.position()) == (500, mixed[-1].position)


def test_a_request_too_large_is_halved_until_it_is_taken(through: InfluxStore, proxy: Between) -> None:
    proxy.choose = lambda path, body: error(413, "request too large", "too large") if len(body) > 2_000 else None
    assert through.write([telemetry(n, n) for n in range(1, 101)], AT_MS) == 100
    assert through.count() == 100
    proxy.choose = lambda path, body: error(413, "request too large", "too large") if b"seq=101," in body else None
    with pytest.raises(StoreFault, match=r"no request of this size, not even one reading of \d+ bytes"):
        through.write([telemetry(n, n) for n in range(101, 111)], AT_MS, list[Quarantined]().extend)
    assert through.position() == 100


def test_points_of_annals_are_written_once_and_refused_ones_are_said_while_the_rest_is_there(
    influx: InfluxServer, influx_bucket: str, store: InfluxStore
) -> None:
    point = Point(measurement="nabd_health", tags={}, fields={"faults": 1.0, "why": "x"}, at_ns=AT_MS * 1_000_000)
    store.record([point])
    store.record([point])
    store.record([])
    assert len(influx.ask('SELECT * FROM "nabd_health"', influx_bucket)) == 1
    odd = Point(measurement="nabd_health", tags={}, fields={"faults": "many"}, at_ns=AT_MS * 1_000_000)
    later = Point(measurement="nabd_health", tags={}, fields={"faults": 2.0}, at_ns=AT_MS * 1_000_000 + 1)
    [refused] = store.record([odd, later])
    assert refused.point is odd
    assert re.search(r"refuses .*field type conflict", refused.sentence)
    assert len(influx.ask('SELECT * FROM "nabd_health"', influx_bucket)) == 2
    assert store.count() == 0


def test_a_mark_that_is_refused_for_good_is_a_fault_and_not_left_behind(store: InfluxStore) -> None:
    store.remember("nabd_marks", {"position": 1.0})
    with pytest.raises(StoreFault, match=r"refuses .*field type conflict"):
        store.remember("nabd_marks", {"position": "second"})
    assert store.remembered("nabd_marks") == {"position": 1.0}


# -- position


def test_each_log_has_a_position_of_its_own_and_a_new_one_begins_at_the_start(
    influx: InfluxServer, influx_bucket: str, store: InfluxStore
) -> None:
    store.write([telemetry(n, n) for n in range(1, 6)], AT_MS)
    with closing(
        InfluxStore(influx.url, influx.org, influx_bucket, influx.token, KINDS, log="another, of=odd name")
    ) as other:
        assert other.position() == 0
        other.write([telemetry(1, 1), telemetry(2, 99)], AT_MS)
        assert (other.position(), store.position()) == (2, 5)
        assert other.count() == 6


def test_put_back_from_a_backup_it_tells_its_older_position(tmp_path: Path) -> None:
    server = InfluxServer(tmp_path / "influxdb")
    try:
        store = influx_store(server, server.bucket)
        store.write([telemetry(n, n) for n in range(1, 6)], AT_MS)
        server.save(tmp_path / "copy")
        store.write([telemetry(n, n) for n in range(6, 11)], AT_MS)
        assert (store.position(), store.count()) == (10, 10)
        server.put_back(tmp_path / "copy")
        assert (store.position(), store.count()) == (5, 5)
        store.close()
    finally:
        server.end()


def test_a_position_is_there_in_a_bucket_that_keeps_for_a_day_only(influx: InfluxServer, influx_bucket: str) -> None:
    bucket = f"{influx_bucket}-day"
    influx.add_bucket(bucket, keep_s=86_400)
    with closing(influx_store(influx, bucket)) as store:
        store.write([telemetry(7, 1, at_ms=influx.now_ms())], AT_MS)
        assert store.position() == 7


def _seqs(record: object) -> list[int]:
    assert isinstance(record, Telemetry)
    return [reading.seq for reading in record.readings]
