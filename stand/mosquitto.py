"""A real Mosquitto in a process of its own, on a port of loopback."""

import os
import shutil
import socket
from pathlib import Path

from nabd.fault import Refused
from nabd.process import free_port
from stand.program import Program, wait_for

START_S_MAX = 10.0
EVERY_S = 0.02
OPEN = ("listener {port} 127.0.0.1", "allow_anonymous true")


class Mosquitto(Program):
    """Runs with a configuration file; it may be killed, and comes back on the same port."""

    def __init__(self, conf: Path, port: int, log: Path, folder: Path | None = None) -> None:
        """`conf` as Mosquitto finds it from its working directory, `folder`. It is started later."""
        self.port, self.log = port, log
        self._conf, self._folder = conf, folder

    def start(self) -> None:
        """Returns when it listens. Raises Refused when it is not installed or ends, with what it wrote."""
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise Refused("mosquitto is not installed; install the system's package of this name")
        self.run([program, "-c", str(self._conf)], self.log, self._folder)
        wait_for(self._listens, f"Mosquitto listens on {self.port}; see {self.log}", START_S_MAX, EVERY_S)

    def _listens(self) -> bool:
        if not self.is_alive:
            raise Refused(f"Mosquitto ended: {self.log.read_text(errors='replace')}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.5).close()
        except OSError:
            return False
        return True


class PlainMosquitto(Mosquitto):
    """In plain text on loopback, for everybody: OPEN, and `lines` of mosquitto.conf. {port}, {folder} are filled in."""

    def __init__(self, folder: Path, *lines: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        text = [line.format(port=port, folder=folder) for line in (*OPEN, *lines)]
        if os.geteuid() == 0:
            text.append("user root")
        (folder / "mosquitto.conf").write_text("\n".join([*text, ""]), encoding="utf-8")
        super().__init__(folder / "mosquitto.conf", port, folder / "mosquitto.log")
