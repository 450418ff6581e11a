"""Between a device and its broker: passes everything on and counts the bytes of each direction, by what they say.

It takes MQTT packets apart where they come in plain text; of TLS it knows only how many bytes went which way.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from contract.wire import topics
from contract.wire.packets import PUBLISH, frame

UP, DOWN = "up", "down"  # from the device, to the device
WORDS = {
    1: "connect", 2: "connack", 4: "puback", 8: "subscribe", 9: "suback", 12: "pingreq", 13: "pingresp",
    14: "disconnect",
}  # fmt: skip
Key = tuple[str, str, str]
"""(client id, UP or DOWN, what: a channel of the wire or a word of WORDS)."""


class _Reader:
    """One direction of one connection."""

    def __init__(self, meter: "Meter", direction: str, name: list[str]) -> None:
        self._meter, self._direction, self._name = meter, direction, name
        self._rest = b""

    def feed(self, data: bytes) -> None:
        meter = self._meter
        meter.raw[self._direction] += len(data)
        if not meter.parses:
            return
        data = self._rest + data
        at = 0
        while at < len(data):
            span = frame(data, at, len(data))
            if span is None or span[1] > len(data):
                break
            body, end = span
            if data[at] >> 4 == 1:  # flags and keep-alive end 10 bytes on; then comes the client id
                length = int.from_bytes(data[body + 10 : body + 12], "big")
                self._name[:] = [data[body + 12 : body + 12 + length].decode()]
            key = self._name[0], self._direction, _word(data[at], data[body:end])
            meter.packets[key] += 1
            meter.bytes[key] += end - at
            at = end
        self._rest = data[at:]


def _word(first: int, body: bytes) -> str:
    if first & 0xF0 != PUBLISH:
        return WORDS.get(first >> 4, "other")
    length = int.from_bytes(body[:2], "big")
    parsed = topics.parse(body[2 : 2 + length].decode())
    return parsed[1] if parsed is not None else "other"


class Meter:
    """Counts of all connections since the start."""

    def __init__(self, host: str, port: int, *, parses: bool = True) -> None:
        """`parses`: what goes through is plain MQTT."""
        self.parses = parses
        self.port = 0  # where it listens, once it runs
        self.raw: Counter[str] = Counter()  # bytes by direction
        self.packets: Counter[Key] = Counter()
        self.bytes: Counter[Key] = Counter()
        self._server = (host, port)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._take, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            broker_reader, broker_writer = await asyncio.open_connection(*self._server)
        except OSError:  # the broker is not there: as if this were not either
            writer.close()
            return
        name = [""]
        await asyncio.gather(
            _pass_on(reader, broker_writer, _Reader(self, UP, name)),
            _pass_on(broker_reader, writer, _Reader(self, DOWN, name)),
        )


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counting: _Reader) -> None:
    try:
        while data := await reader.read(65_536):
            counting.feed(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@contextmanager
def metering(host: str, port: int, *, parses: bool = True) -> Iterator[Meter]:
    meter = Meter(host, port, parses=parses)
    meter.start()
    try:
        yield meter
    finally:
        meter.end()
