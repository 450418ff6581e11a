"""The real Mosquitto on the real deploy/mosquitto/mosquitto.conf, in a folder that nabd init made."""

import json
import os
import shutil
import signal
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import psutil

from adapters import certificates
from adapters.clock import real_ms
from nabd import founding
from nabd.process import free_port
from stand.mosquitto import Mosquitto

DEPLOY = Path(__file__).parents[1] / "deploy" / "mosquitto"
DAY_MS = 86_400_000
LISTENER = "listener 8883\n"


class CityBroker(Mosquitto):
    """Use it as a context manager. `data` is the city's data folder, `port` where it listens.

    Only the number of the port is changed in the file, so that several tests can run at once. Mosquitto does not stay
    root, so under root the folder is given to its own user.
    """

    def __init__(self, hosts: Iterable[str] = ("localhost", "127.0.0.1")) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="nabd-broker-"))
        self.data = self.root / "data"
        self._hosts = tuple(hosts)
        super().__init__(
            Path("config/mosquitto.conf"), free_port(), self.root / "mosquitto.log", folder=self.root / "work"
        )

    def __enter__(self) -> "CityBroker":
        founding.establish(self.data, self._hosts, real_ms())
        work = self.root / "work"
        shutil.copytree(DEPLOY, work / "config")
        text = (DEPLOY / "mosquitto.conf").read_text()
        assert text.count(LISTENER) == 1, "one listener, and only that"
        (work / "config" / "mosquitto.conf").write_text(text.replace(LISTENER, f"listener {self.port}\n"))
        (work / "secrets").symlink_to(self.data / "secrets")
        (work / "data").symlink_to(self.data / "mosquitto")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def ca_file(self) -> Path:
        return self.secret("ca.crt")

    def secret(self, name: str) -> Path:
        return founding.secret(self.data, name)

    def password(self, name: str) -> str:
        return self.secret(name).read_text().strip()

    def own(self) -> None:
        """Give Mosquitto's user what it reads and writes, where this is not its own user already."""
        if os.geteuid() == 0:
            self.root.chmod(0o755)
            for path in [self.data / "mosquitto", *(self.data / "mosquitto").iterdir()]:
                shutil.chown(path, "mosquitto", "mosquitto")
            for path in [self.data / "secrets", self.secret("mosquitto.key"), self.secret("mosquitto.crt")]:
                shutil.chown(path, "mosquitto", "mosquitto")

    def start(self) -> None:
        self.own()
        super().start()

    def reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def listening_ports(self) -> set[int]:
        return {c.laddr.port for c in psutil.Process(self.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN}

    def settings(self, **more: object) -> None:
        """Write nabd.toml for a platform on this broker."""
        values = {
            "embedded": False,
            "host": "localhost",
            "port": self.port,
            "connections": 4,
            "username": "nabd-platform",
            "password_file": str(self.secret("mqtt_platform_password")),
            "ca_file": str(self.ca_file),
            **more,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]  # these JSON values are TOML too
        (self.data / "nabd.toml").write_text("\n".join(["[mqtt]", *lines, ""]))

    def certificate(self, hosts: Iterable[str] = ("localhost", "127.0.0.1"), *, days_ago: int = 0) -> None:
        """Another certificate by the same authority, as if it had been made so many days ago; in use on return."""
        self.secret("mosquitto.crt").write_bytes(
            certificates.server(
                self.secret("mosquitto.key").read_bytes(),
                tuple(hosts),
                self.secret("ca.key").read_bytes(),
                self.ca_file.read_bytes(),
                real_ms() - days_ago * DAY_MS,
            )
        )
        self.stop()
        self.start()

    def tls(self, ca_file: Path | None = None) -> ssl.SSLContext:
        """A context of the standard library alone: an independent eye."""
        return ssl.create_default_context(cafile=str(ca_file or self.ca_file))
