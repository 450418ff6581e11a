"""The four ways to run a city: embedded or Mosquitto, DuckDB or InfluxDB."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Mosquitto
from stand.influxdb import InfluxServer
from tests.crash.disk import SmallDisk
from tests.crash.forge import Forge
from tests.crash.house import House


@dataclass(frozen=True)
class Way:
    mosquitto: bool
    influxdb: bool

    @property
    def name(self) -> str:
        return f"{'mosquitto' if self.mosquitto else 'embedded'}+{'influxdb' if self.influxdb else 'duckdb'}"

    @contextmanager
    def house(self, folder: Path, forge: Forge, disk: SmallDisk | None = None) -> Iterator[House]:
        """A house whose servers run, in a new folder; its platform is not started yet."""
        with ExitStack() as ends:
            broker = influx = None
            if self.mosquitto:
                broker = Mosquitto(folder / "mosquitto")
                ends.callback(broker.stop)
                broker.start()
            if self.influxdb:
                influx = InfluxServer(folder / "influxdb")
                ends.callback(influx.end)
            yield House(folder / "house", forge, broker=broker, influx=influx, disk=disk)


EMBEDDED = Way(mosquitto=False, influxdb=False)
WAYS = (
    EMBEDDED,
    Way(mosquitto=True, influxdb=False),
    Way(mosquitto=False, influxdb=True),
    Way(mosquitto=True, influxdb=True),
)
