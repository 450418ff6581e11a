"""Readings in bulk from a running platform, over HTTP: it has the store, and a DuckDB file lets nobody else in."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from adapters.platform_client import PlatformClient
from contract.extracts import GOOD, Wanted
from contract.moments import rfc3339
from contract.records import Quality

COUNT = "Nabd-Readings"
BUFFER = 1 << 20


class PlatformExtracts:
    """Implements contract.extracts.Extracts; what the platform says no to is a PlatformFault."""

    def __init__(self, client: PlatformClient) -> None:
        self._client = client

    def schema(self, kind: str, metrics: tuple[str, ...] = ()) -> pa.Schema:
        with self._opened(kind, Wanted(start_ms=0, end_ms=1, metrics=metrics)) as reader:
            form = reader.schema
            reader.read_all()  # to its end: one that is left in the midst keeps its room for a while
            return form

    def count(self, kind: str, wanted: Wanted) -> int:
        return int(self._client.headers("readings.arrow", _parameters(kind, wanted)).get(COUNT, "0"))

    def tables(self, kind: str, wanted: Wanted) -> Iterator[pa.Table]:
        with self._opened(kind, wanted) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    @contextmanager
    def _opened(self, kind: str, wanted: Wanted) -> Iterator[Any]:
        with self._client.stream("readings.arrow", _parameters(kind, wanted)) as chunks:
            source = io.BufferedReader(_Chunks(chunks), BUFFER)
            with pa.ipc.open_stream(pa.PythonFile(source, "r")) as reader:
                yield reader


def _parameters(kind: str, wanted: Wanted) -> dict[str, Any]:
    parameters: dict[str, Any] = {"kind": kind, "from": rfc3339(wanted.start_ms), "to": rfc3339(wanted.end_ms)}
    parameters |= {"device": wanted.devices, "asset": wanted.assets, "zone": wanted.zones, "metric": wanted.metrics}
    if wanted.allowed is not None:
        bits = [bit.name.lower() for bit in Quality if bit.name and bit & wanted.allowed]
        parameters["quality"] = bits or [GOOD]
    return parameters


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
