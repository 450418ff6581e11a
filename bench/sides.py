"""What is compared: programs that take telemetry from Mosquitto and put it into InfluxDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bench.servers import Mosquitto


class Side(Protocol):
    """One program under test. `start` may be called again after `kill`, on the same folder and bucket."""

    name: str
    sessions: tuple[str, ...]  # client ids whose persistent sessions it leaves at the broker

    def start(self, folder: Path, bucket: str, devices: list[str]) -> int:
        """Begin in this folder with these devices known; the process id. Whether it is ready the caller finds out."""

    def settle(self) -> None:
        """Wait until it has done all it does with what it has read. Raises Refused when it is not well."""

    def kill(self) -> None:
        """As a power cut would."""

    def stop(self) -> None: ...


@contextmanager
def turn(side: Side, folder: Path, bucket: str, devices: list[str], mosquitto: Mosquitto) -> Iterator[int]:
    """A side's turn: it starts, and afterwards ends and leaves nothing at the broker. Yields its process id."""
    folder.mkdir(parents=True)
    try:
        yield side.start(folder, bucket, devices)
    finally:
        side.stop()
        mosquitto.forget(*side.sessions)
