"""The platform with its broker and its store, each of which can be killed, taken away, and left without disk."""

from pathlib import Path
from typing import Protocol

from adapters.platform_client import PlatformClient, PlatformFault
from nabd.process import free_port
from stand.influxdb import InfluxServer
from stand.unlimited import NO_LIMITS
from tests.crash.disk import Disk, FileSizes
from tests.crash.forge import Forge, Forged
from tests.crash.journal import Journal
from tests.small_disk import SmallDisk
from tests.waiting import eventually

UP_S_MAX = 60.0


class Broker(Protocol):
    """A broker of its own."""

    port: int

    def start(self) -> None: ...
    def kill(self) -> None: ...


class House:
    """One data folder and the processes around it. Without `broker` the embedded one, without `influx` DuckDB.

    With `disk` its data are there; without, the disk is full by a limit of the platform's process.
    """

    def __init__(
        self,
        folder: Path,
        forge: Forge,
        *,
        broker: Broker | None = None,
        influx: InfluxServer | None = None,
        disk: SmallDisk | None = None,
    ) -> None:
        self.folder, self.broker, self.influx = folder, broker, influx
        self.data = (folder if disk is None else disk.folder) / "data"
        self.disk: Disk = disk or FileSizes(self.data, lambda: self.platform.pid)
        self.mqtt_port = broker.port if broker is not None else free_port()
        self.client = PlatformClient("http://127.0.0.1:0")
        self._forge = forge
        self._platform: Forged | None = None
        folder.mkdir(parents=True)
        self.data.mkdir()
        self._write_settings()

    def _write_settings(self) -> None:
        lines = ["[log]", "bytes_max = 2000000000", *NO_LIMITS]
        if self.broker is not None:
            lines += ["[mqtt]", "embedded = false", "connections = 2"]
        if self.influx is not None:
            bucket_id = self.influx.add_bucket(f"crash-{self.mqtt_port}-{self.folder.name}")
            _, token = self.influx.add_token(bucket_id, "read", "write")
            secret = self.data / "secrets" / "influxdb_token"
            secret.parent.mkdir(mode=0o700)
            secret.touch(mode=0o600)
            secret.write_text(token, encoding="utf-8")
            lines += ["[store]", 'kind = "influxdb"', "[influxdb]", f'url = "{self.influx.url}"', "timeout_s = 2"]
            lines += [f'bucket = "crash-{self.mqtt_port}-{self.folder.name}"']
        (self.data / "nabd.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    # -- the platform

    @property
    def platform(self) -> Forged:
        assert self._platform is not None, "it was started"
        return self._platform

    def start(self) -> None:
        """Start the platform; returns before it answers."""
        port = free_port()
        self.client.close()
        self.client = PlatformClient(f"http://127.0.0.1:{port}", timeout_s=60.0)
        options = ["--data", str(self.data), "--http-port", str(port), "--mqtt-port", str(self.mqtt_port)]
        self._platform = self._forge.start(self.folder / "platform.log", "up", *options)

    def wait_until_up(self) -> None:
        """Until it says that it is well."""
        eventually(self.is_well, lambda: f"the platform is well; its log ends: {self.log()[-3000:]}", UP_S_MAX)

    def is_well(self) -> bool:
        assert self.platform.alive(), f"the platform ended by itself: {self.log()[-3000:]}"
        try:
            return not self.client.health()["reasons"]
        except PlatformFault:
            return False

    def stop(self) -> None:
        if self._platform is not None:
            self._platform.stop()
        self.client.close()

    def log(self) -> str:
        return (self.folder / "platform.log").read_text(encoding="utf-8", errors="replace")

    def register(self, devices: list[Journal]) -> None:
        for device in devices:
            self.client.add_device({"id": device.name, "kind": device.kind, "commune": "berkane"})

    def is_stored(self) -> bool:
        """Has the store all that is in the log?"""
        try:
            health = self.client.health()
        except PlatformFault:
            return False
        return not health["reasons"] and health["store_lag"] == 0

    # -- what may happen to it

    def kill_embedded_broker(self) -> bool:
        """Is there one? It is killed then."""
        for child in self.platform.process.children():
            if any("iotcore" in word for word in child.cmdline()):
                child.kill()
                return True
        return False
