"""Ingest, log and store as they are wired together, without broker and API: a life of them takes a tenth of a second.

A life takes batches of messages, says what the platform would say (`ack`, `kept`), and writes to the store beside that.
It ends by itself, or kills itself at a named point. Lives are forked from a process that has imported everything; run
as a program this is that process. It reads a JSON line a life and answers with the status of its end.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from adapters.clock import CityClock
from adapters.log import names
from adapters.log.sqlite_log import SqliteLog
from adapters.stores.duckdb_store import DuckStore
from contract.kind_file import load_kinds
from contract.ports import Device, Message
from ingest.pipeline import Pipeline
from nabd.consumers import StoreWriter
from tests.crash.points import SAID, Fuse

RECENT_MAX = 40  # messages whose names wait in memory: so few that they are written several times a life
CHECKPOINT_EVERY, CUT_EVERY, STORE_EVERY = 3, 4, 2  # batches
YEAR_MS = 365 * 86_400_000


class Life(msgspec.Struct):
    """What a life is to do. Messages are (device, payload)."""

    folder: str
    devices: dict[str, str]  # device → kind
    batches: list[list[tuple[str, str]]]
    ask: list[tuple[str, str]] = []  # (device, stream): say first what is kept of it
    point: str = ""
    hit: int = 1


class Lives:
    """The forking process, and what a life said."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.rooms"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    def live(self, life: Life) -> tuple[int, list[list[str]]]:
        """(status of the end: 0, or the signal as a negative number; what it said, each a list of words)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(life).decode() + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        said = (Path(life.folder) / "said").read_text(encoding="utf-8")
        return status, [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


class Rooms:
    def __init__(self, life: Life) -> None:
        folder = Path(life.folder)
        self.clock = CityClock()
        self._said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._fuse = Fuse(life.point, life.hit)
        kinds = load_kinds()
        devices = {name: _device(name, kind) for name, kind in life.devices.items()}
        self.log = SqliteLog(folder / "log.db", bytes_max=1_000_000_000, days_max=30)
        self.store = DuckStore(folder / "store.duckdb", kinds)
        self.writer = StoreWriter(self.log, self.store, self.clock)
        self.pipeline = Pipeline(kinds, devices.get, self.log, self.clock)

    def live(self, life: Life) -> None:
        for device, stream in life.ask:
            self._say("kept", *self._kept(device, stream))
        for number, batch in enumerate(life.batches, 1):
            self._take(number, batch)
            if number % STORE_EVERY == 0:
                self._store()
            if number % CHECKPOINT_EVERY == 0:
                self.pipeline.checkpoint()
            if number % CUT_EVERY == 0:
                self.log.cut(self.clock.now_ms() + YEAR_MS)  # all that store and ledger have is old enough
        self._store()
        self.pipeline.checkpoint()
        self.store.close()
        self.log.close()

    def _take(self, number: int, batch: Sequence[tuple[str, str]]) -> None:
        messages = [
            Message(f"nabd/1/{device}/telemetry", payload.encode(), token=f"{number}.{n}")
            for n, (device, payload) in enumerate(batch)
        ]
        outcome = self.pipeline.process(messages)
        for token in outcome.acknowledge:
            self._say("ack", token)
            self._fuse.passing(SAID[0])
        for device, stream, _ in outcome.kept:
            self._say("kept", *self._kept(device, stream))
            self._fuse.passing(SAID[1])

    def _kept(self, device: str, stream: str) -> tuple[str, str]:
        _, payload = self.pipeline.answer(device, stream, deferred=False)
        return device, payload.decode()

    def _store(self) -> None:
        """What the store writer's thread does, at moments that a seed repeats."""
        self.writer._place()
        while self.writer._write_batch():
            pass

    def _say(self, *words: str) -> None:
        """One write of the system: whole in the file, or not there."""
        os.write(self._said, (json.dumps(words) + "\n").encode())


def _device(name: str, kind: str) -> Device:
    return Device(
        device=name, kind=kind, commune="berkane", zone="", asset=name, name=name, lat=None, lon=None, settings={},
        registered_at_ms=0,
    )  # fmt: skip


def main() -> None:
    names.RECENT_MAX = RECENT_MAX
    for line in sys.stdin:
        life = msgspec.json.decode(line, type=Life)
        pid = os.fork()
        if pid == 0:
            _be(life)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _be(life: Life) -> NoReturn:
    status = 1
    try:
        Rooms(life).live(life)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
