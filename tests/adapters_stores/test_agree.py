"""Whatever is asked, InfluxDB answers what DuckDB answers: values, steps, and the order within a millisecond."""

from contextlib import closing
from itertools import product
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.stores.duckdb_store import DuckStore
from contract.ports import Store
from contract.questions import ALLOWED
from contract.records import Entry, Reading, Telemetry
from stand.influxdb import InfluxServer
from tests.adapters_stores.conftest import KINDS, ask, influx_store
from tests.adapters_stores.entries import AT_MS

pytestmark = pytest.mark.services

STREAMS = {"lamp-1": ("9f3c01aa", "00000001"), "lamp-2": ("9f3c01ab",)}
CROSSING = 1_000_000 - crc32(b"9f3c01aa") % 1_000_000  # from this seq on, the digits of a point's time begin anew
STEP_MS = 60_000
TIE = {"9f3c01aa": "lease", "00000001": "safe"}  # of one millisecond and one seq: the stream tells which is the last

moments = st.one_of(st.integers(0, 3), st.integers(0, 5 * STEP_MS))
values = st.fixed_dictionaries(
    {},
    optional={
        "power_w": st.floats(0, 2000),
        "energy_wh": st.integers(0, 10**9).map(float),
        "level_by": st.sampled_from(["lease", "schedule", "safe"]),
    },
)
names = st.sampled_from([(device, stream) for device, streams in STREAMS.items() for stream in streams])
readings = st.dictionaries(
    st.tuples(names, st.one_of(st.integers(1, 30), st.integers(CROSSING - 3, CROSSING + 3))),
    st.tuples(moments, values),
    max_size=25,
)


def entry(position: int, device: str, stream: str, reading: Reading) -> Entry:
    record = Telemetry(device=device, asset="pole-1", kind="street_light", stream=stream, boot=1, readings=(reading,))
    return Entry(position, AT_MS, record)


def answers(store: Store) -> list[object]:
    told: list[object] = [sorted(store.latest(), key=lambda one: one[0]), store.count()]
    street_light = KINDS["street_light"].metrics
    for metric, device, (start_ms, end_ms) in product(
        ("power_w", "energy_wh", "level_by"), (None, "lamp-1"), ((0, 2**53), (AT_MS + 1, AT_MS + 2 * STEP_MS + 1))
    ):
        asked = {"metric": metric, "device": device, "start_ms": start_ms, "end_ms": end_ms}
        ways = [(every_ms, way) for every_ms in (STEP_MS, 7) for way in ALLOWED[street_light[metric].type]]
        for (every_ms, way), limit in product([(None, None), *ways], (3, 1_000)):
            rows = ask(store, kind="street_light", **asked, every_ms=every_ms, aggregate=way, limit=limit)
            told.append([(at, one if isinstance(one, str) else round(one, 6)) for at, one in rows])
    return told


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=readings)
@example(found={(("lamp-1", stream), CROSSING): (3, {"level_by": by}) for stream, by in TIE.items()})
def test_two_stores_tell_the_same_of_the_same_readings(
    influx: InfluxServer, tmp_path_factory: pytest.TempPathFactory, found: dict[tuple[tuple[str, str], int], object]
) -> None:
    folder: Path = tmp_path_factory.mktemp("agree")
    bucket = folder.name
    influx.add_bucket(bucket)
    entries = [
        entry(position, device, stream, Reading(seq, AT_MS + at[0], at[1]))  # type: ignore[index]  # a pair
        for position, (((device, stream), seq), at) in enumerate(found.items(), 1)
    ]
    with closing(DuckStore(folder / "store.duckdb", KINDS)) as duck, closing(influx_store(influx, bucket)) as points:
        for store in (duck, points):
            store.write(entries, AT_MS)
        assert answers(points) == answers(duck)


def test_the_last_of_one_millisecond_is_the_one_of_the_highest_seq_though_its_point_is_the_earlier(
    influx: InfluxServer, influx_bucket: str
) -> None:
    with closing(influx_store(influx, influx_bucket)) as store:
        store.write(
            [
                entry(n, "lamp-1", "9f3c01aa", Reading(seq, AT_MS, {"energy_wh": float(seq)}))
                for n, seq in enumerate((CROSSING - 1, CROSSING, CROSSING + 1), 1)
            ],
            AT_MS,
        )
        asked = {"kind": "street_light", "metric": "energy_wh", "start_ms": 0, "end_ms": 2**53}
        wanted = [float(CROSSING + n) for n in (-1, 0, 1)]
        assert [value for _, value in ask(store, **asked)] == wanted
        assert [value for _, value in ask(store, **asked, limit=2)] == wanted[:2]
        assert [value for _, value in ask(store, **asked, every_ms=STEP_MS)] == wanted[2:]
        [(_, _, _, latest)] = store.latest()
        assert latest == {"energy_wh": wanted[2]}
