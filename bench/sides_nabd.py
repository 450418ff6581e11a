"""Nabd as a side, twice: its ingest and store writer alone, and the whole platform."""

import sys
from pathlib import Path

from bench.ingest_only import CLIENT_ID, CONNECTIONS
from bench.load import COMMUNE, KIND
from bench.servers import Servers
from nabd.process import Child, PlatformProcess, free_port

SESSIONS = tuple(f"{CLIENT_ID}-{number}" for number in range(CONNECTIONS))
SETTINGS = """\
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


class IngestOnly:
    """Implements bench.sides.Side with bench.ingest_only: what Telegraf's job is compared with."""

    name = "Nabd, ingest and store writer"
    sessions = SESSIONS

    def __init__(self, servers: Servers) -> None:
        self._mosquitto, self._influx = servers
        self._child: Child | None = None

    def start(self, folder: Path, bucket: str, devices: list[str]) -> int:
        """`devices` are the probe and those of bench.load, which it makes itself."""
        command = [sys.executable, "-m", "bench.ingest_only", "--data", str(folder / "data"), "--bucket", bucket]
        command += ["--mqtt-port", str(self._mosquitto.port), "--url", self._influx.url, "--org", self._influx.org]
        command += ["--token-file", str(self._influx.token_file), "--devices", str(len(devices) - 1)]
        with (folder / "ingest.log").open("ab") as output:
            self._child = Child(command, output=output)
        return self._child.pid

    def kill(self) -> None:
        assert self._child is not None
        self._child.kill()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()


class WholePlatform:
    """Implements bench.sides.Side with `nabd up`: rules, actuation, live view and an idle console as well."""

    name = "Nabd, whole platform"
    sessions = SESSIONS

    def __init__(self, servers: Servers) -> None:
        self._mosquitto, self._influx = servers
        self._platform: PlatformProcess | None = None

    def start(self, folder: Path, bucket: str, devices: list[str]) -> int:
        """Up, and its devices registered where they are not."""
        config = folder / "nabd.toml"
        config.write_text(
            SETTINGS.format(
                connections=CONNECTIONS,
                url=self._influx.url,
                org=self._influx.org,
                bucket=bucket,
                token_file=self._influx.token_file,
            ),
            encoding="utf-8",
        )
        options = ("--config", str(config))
        with (folder / "platform.log").open("ab") as output:
            self._platform = PlatformProcess(
                folder / "data", free_port(), self._mosquitto.port, *options, output=output
            )
        self._platform.wait_until_up()
        known = {device["id"] for device in self._platform.client.devices()}
        for name in devices:
            if name not in known:
                self._platform.client.add_device({"id": name, "kind": KIND, "commune": COMMUNE})
        return self._platform.pid

    def kill(self) -> None:
        assert self._platform is not None
        self._platform.kill()

    def stop(self) -> None:
        if self._platform is not None:
            self._platform.stop()
