"""Programs of ours as child processes: the platform and MicroPython nodes. The demo, the tests and the benchmarks
start them all this way."""

import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

from adapters.platform_client import PlatformClient, PlatformFault
from nabd.fault import Refused

UP_S_MAX = 60.0
END_S = 12.0


class Child:
    """One child process; `stop` ends it cleanly, `kill` as a power cut would."""

    def __init__(
        self, command: Sequence[str], *, folder: Path | None = None, output: IO[Any] | int | None = None
    ) -> None:
        self.process = subprocess.Popen(  # noqa: S603  # our own programs with arguments of our own
            command, cwd=folder, stdout=output, stderr=output
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> int:
        """SIGTERM, and SIGKILL when that is not heard in time; the exit code."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def kill(self) -> None:
        if self.alive():
            self.process.kill()
        self.process.wait()


class PlatformProcess(Child):
    """`nabd up` on loopback with a client for its API."""

    def __init__(
        self,
        data: Path,
        http_port: int,
        mqtt_port: int,
        *options: str,
        output: IO[Any] | int | None = None,
    ) -> None:
        self.mqtt_port = mqtt_port
        self.client = PlatformClient(f"http://127.0.0.1:{http_port}")
        command = [sys.executable, "-m", "nabd", "up", "--data", str(data)]
        command += ["--http-port", str(http_port), "--mqtt-port", str(mqtt_port), *options]
        super().__init__(command, output=output)

    def wait_until_up(self) -> None:
        """Until /healthz says it is well. Raises Refused when the process ends or takes too long."""
        deadline_s = time.monotonic() + UP_S_MAX
        reasons: object = "no answer"
        while time.monotonic() < deadline_s:
            if not self.alive():
                raise Refused("the platform ended while starting; its own message stands above")
            try:
                health = self.client.health()
            except PlatformFault:
                time.sleep(0.05)
                continue
            reasons = health.get("reasons")
            if not reasons:
                return
            time.sleep(0.05)
        raise Refused(f"the platform was not well within {UP_S_MAX:g} s: {reasons}")


def free_port() -> int:
    """A port below those the system gives to outgoing connections, so that none of these takes it meanwhile."""
    while True:
        port = random.randint(15_000, 30_000)  # noqa: S311  # any will do
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def micropython() -> str | None:
    """The MicroPython unix port: of this environment, or on the path."""
    return shutil.which("micropython", path=str(Path(sys.executable).parent)) or shutil.which("micropython")


def node_command(device: str, kind: str, mqtt_port: int, data: Path, **options: object) -> list[str]:
    """The command line of a MicroPython node; run it in `node_folder()`. Raises Refused without MicroPython."""
    program = micropython()
    if program is None:
        raise Refused("micropython is not installed; make setup installs it")
    command = [program, "-m", "firmware.main", "--device", device, "--kind", kind]
    command += ["--host", "127.0.0.1", "--port", str(mqtt_port), "--data", str(data)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return command


def node_folder() -> Path:
    """Where MicroPython finds the packages `firmware` and `contract`."""
    return Path(str(files("firmware"))).parent
