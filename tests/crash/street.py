"""All virtual devices of one city, and the thread that drives them while others are busy with chaos."""

import threading
import time
from random import Random

from tests.crash.device import VirtualDevice
from tests.crash.journal import MEASURES, Journal

STEP_S = 0.05


class Street:
    """`with` it, the devices measure and send, in a thread, until `target` readings are measured and after."""

    def __init__(self, port: int, count: int, per_s: float, seed: str) -> None:
        """`per_s`: readings measured a second, by all devices together."""
        kinds = sorted(MEASURES)
        self.devices = [
            VirtualDevice(f"virtual-{n}", kinds[n % len(kinds)], port, Random(f"{seed}/device/{n}"))
            for n in range(count)
        ]
        self.target = 0
        self.fault: BaseException | None = None
        self._per_s = per_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="street")

    def __enter__(self) -> "Street":
        for device in self.devices:
            device.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for device in self.devices:
            device.stop()

    @property
    def journals(self) -> list[Journal]:
        return [device.journal for device in self.devices]

    @property
    def measured(self) -> int:
        return sum(journal.measured for journal in self.journals)

    @property
    def held(self) -> int:
        """How many readings no `kept` has named yet."""
        return sum(len(journal.held) for journal in self.journals)

    @property
    def forgotten(self) -> int:
        """How many readings the devices were told are durable."""
        if self.fault is not None:
            raise self.fault
        return self.measured - self.held

    def _run(self) -> None:
        try:
            owed = 0.0
            last_s = time.monotonic()
            while not self._ended.wait(STEP_S):
                now_s = time.monotonic()
                owed += (now_s - last_s) * self._per_s / len(self.devices)
                last_s = now_s
                count, owed = int(owed), owed % 1
                left = -(-(self.target - self.measured) // len(self.devices))
                for device in self.devices:
                    device.journal.measure(max(0, min(count, left)), int(time.time() * 1000))
                    device.send()
        except BaseException as fault:  # told to whoever asks
            self.fault = fault
