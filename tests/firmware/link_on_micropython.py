"""Starts and stops a Link many times: ``micropython -m tests.firmware.link_on_micropython PORT TIMES [CA PASSWORD]``.

With a CA it is TLS to localhost as the device `probe`, which may not hear its own voice: there it waits for the
broker's acknowledgement instead.

Prints ``left tasks=… sockets=… grew=…`` in the end: what is left behind, and by how many bytes the heap grew between
the first fifth of the rounds and the last round.
"""

import asyncio
import gc
import sys

from contract.wire.mqtt import Session
from firmware.core.chance import Chance
from firmware.hal.uptime import Uptime
from firmware.net.link import Link
from firmware.net.tls import Tls


class Owner:
    """Board and node at once: says one thing and hears it back."""

    network = None

    def __init__(self) -> None:
        self._uptime = Uptime()
        self.heard = 0
        self.ups = 0
        self.acknowledged = 0

    def up_ms(self) -> int:
        return int(self._uptime.ms())

    def will(self) -> "tuple[str, bytes, int, bool]":
        return "nabd/1/probe/status", b"gone", 1, False

    def subscriptions(self) -> "list[tuple[str, int]]":
        return [("nabd/1/probe/kept", 1)]

    def link_up(self) -> None:
        self.ups += 1

    def link_down(self, why: str) -> None:
        print("down", why)

    def link_message(self, topic: str, payload: bytes) -> None:
        self.heard += 1

    def link_room(self) -> None:
        self.acknowledged += 1

    def set_date(self, unix_s: int) -> None:
        pass

    def link_remark(self, event: str) -> None:
        print("remark", event)


async def round_trip(owner: Owner, port: int, ca: str, password: str) -> None:
    tls = Tls(ca, "localhost", owner, lambda: None, 0) if ca else None
    session = Session("probe", 30, "probe" if ca else None, password if ca else None)
    link = Link(session, "localhost" if ca else "127.0.0.1", port, owner, owner, Chance("probe"), tls)
    heard, acknowledged = owner.heard, owner.acknowledged
    link.start()
    while not link.up:
        await asyncio.sleep(0.01)
    link.publish("nabd/1/probe/telemetry" if ca else "nabd/1/probe/kept", b"x", 1, False)
    while owner.acknowledged == acknowledged or (owner.heard == heard and not ca):
        await asyncio.sleep(0.01)
    await link.stop()


def main(port: int, times: int, ca: str, password: str) -> None:
    owner = Owner()
    early = 0
    for index in range(times):
        asyncio.run(round_trip(owner, port, ca, password))
        gc.collect()
        if index == times // 5:
            early = gc.mem_alloc()  # type: ignore[attr-defined]
    core = sys.modules["asyncio"].core
    tasks = 0 if core._task_queue.peek() is None else 1
    print("ups=" + str(owner.ups), "heard=" + str(owner.heard))
    print("left tasks=" + str(tasks), "sockets=" + str(len(core._io_queue.map)), end=" ")
    print("grew=" + str(gc.mem_alloc() - early))  # type: ignore[attr-defined]


if __name__ == "__main__":
    authority = ""
    if len(sys.argv) > 3:
        with open(sys.argv[3]) as stream:
            authority = stream.read()
    main(int(sys.argv[1]), int(sys.argv[2]), authority, sys.argv[4] if authority else "")
