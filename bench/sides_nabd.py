"""Nabd as a side, twice: its ingest and store writer alone, and the whole platform."""

import sys
from pathlib import Path

from bench import backlog
from bench.ingest_only import CLIENT_ID, CONNECTIONS
from bench.servers import Servers
from nabd.fault import Refused
from nabd.process import PlatformProcess, free_port
from stand.program import Program, wait_for
from stand.unlimited import NO_LIMITS

SESSIONS = tuple(f"{CLIENT_ID}-{number}" for number in range(CONNECTIONS))
SETTINGS = """\
{no_limits}
[mqtt]
embedded = false
connections = {connections}
[store]
kind = "influxdb"
[influxdb]
url = "{url}"
org = "{org}"
bucket = "{bucket}"
token_file = "{token_file}"
"""


class IngestOnly(Program):
    """Implements bench.sides.Side with bench.ingest_only: what Telegraf's job is compared with."""

    name = "Nabd, ingest and store writer"
    sessions = SESSIONS

    def __init__(self, servers: Servers) -> None:
        self._mosquitto, self._influx = servers

    def start(self, folder: Path, bucket: str, devices: list[str]) -> int:
        """`devices` are the probe and those of bench.load, which it makes itself."""
        command = [sys.executable, "-m", "bench.ingest_only", "--data", str(folder / "data"), "--bucket", bucket]
        command += ["--mqtt-port", str(self._mosquitto.port), "--url", self._influx.url, "--org", self._influx.org]
        command += ["--token-file", str(self._influx.token_file), "--devices", str(len(devices) - 1)]
        return self.run(command, folder / "ingest.log")

    def settle(self) -> None:
        """What it has written is all it does."""


class WholePlatform:
    """Implements bench.sides.Side with `nabd up`: rules, actuation, live view and an idle console as well."""

    name = "Nabd, whole platform"
    sessions = SESSIONS

    def __init__(self, servers: Servers) -> None:
        self._mosquitto, self._influx = servers
        self._platform: PlatformProcess | None = None

    def start(self, folder: Path, bucket: str, devices: list[str]) -> int:
        """Up; its devices are registered in the log that it finds."""
        config = folder / "nabd.toml"
        config.write_text(
            SETTINGS.format(
                no_limits="\n".join(NO_LIMITS),
                connections=CONNECTIONS,
                url=self._influx.url,
                org=self._influx.org,
                bucket=bucket,
                token_file=self._influx.token_file,
            ),
            encoding="utf-8",
        )
        data = folder / "data"
        if not data.exists():
            backlog.register(data, devices)
        options = ("--config", str(config))
        with (folder / "platform.log").open("ab") as output:
            self._platform = PlatformProcess(data, free_port(), self._mosquitto.port, *options, output=output)
        self._platform.wait_until_up()
        return self._platform.pid

    def settle(self) -> None:
        """Until rules, actuation and live view have read the log to its end."""
        assert self._platform is not None
        client = self._platform.client
        wait_for(
            lambda: not any(consumer["lag"] for consumer in client.health()["consumers"].values()),
            "every consumer of the platform has read the log; see platform.log",
        )
        if reasons := client.health()["reasons"]:
            raise Refused(f"the platform is not well: {'; '.join(reasons)}")

    def kill(self) -> None:
        assert self._platform is not None
        self._platform.kill()

    def stop(self) -> None:
        if self._platform is not None:
            self._platform.stop()
