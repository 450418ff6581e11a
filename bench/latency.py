"""How long until a reading can be asked for, and until its device is told `kept`, under a steady load."""

import json
import threading
import time
from pathlib import Path

from bench.city import FastPublisher, percentile, register, running, steady_load, telemetry
from contract.moments import rfc3339
from nabd.process import PlatformProcess

DEVICES = 1_000
RATE = 5_000  # messages a second beside the probes
SECONDS = 20
PROBE_EVERY_S = 0.25
STREAM = "0000beef"
PROBE = "bench-00000"


def measure(folder: Path) -> list[str]:
    with running(folder) as platform:
        devices = register(platform, DEVICES)
        load = FastPublisher(platform.mqtt_port, "bench-load")
        ending = threading.Event()
        thread = threading.Thread(target=steady_load, args=(load, devices[1:], RATE, ending))
        began_s = time.monotonic()
        thread.start()
        try:
            kept_s, queryable_s = _probe(platform)
            rate = platform.client.get("ledger")["accepted"] / (time.monotonic() - began_s)
        finally:
            ending.set()
            thread.join()
        return [
            f"publish to queryable over the API at {rate:,.0f} messages/s: {_spread(queryable_s)}",
            f"publish to `kept` (told at most once a second per stream): {_spread(kept_s)}",
        ]


def _spread(seconds: list[float]) -> str:
    p50_ms, p99_ms = (percentile(seconds, share) * 1000 for share in (0.5, 0.99))
    return f"p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms ({len(seconds)} probes)"


def _probe(platform: PlatformProcess) -> tuple[list[float], list[float]]:
    client = platform.client
    listener = FastPublisher(platform.mqtt_port, "bench-listener")
    listener.subscribe(f"nabd/1/{PROBE}/kept")
    sent_s: dict[int, float] = {}
    kept_s: dict[int, float] = {}
    queryable_s: list[float] = []
    began_s = time.monotonic()
    seq = 0
    while time.monotonic() - began_s < SECONDS:
        seq += 1
        at_ms = int(time.time() * 1000)
        sent_s[seq] = time.monotonic()
        listener.send([(PROBE, telemetry(STREAM, seq, 1, at_ms))])
        while not client.get(
            f"devices/{PROBE}/readings", metric="power_w", start=rfc3339(at_ms), end=rfc3339(at_ms + 1)
        )["readings"]:
            listener.listen(0.005)
        queryable_s.append(time.monotonic() - sent_s[seq])
        listener.listen(max(0.005, PROBE_EVERY_S - queryable_s[-1]))
        _take_kept(listener, sent_s, kept_s)
    listener.listen(2.5)
    _take_kept(listener, sent_s, kept_s)
    if len(kept_s) != len(sent_s):
        raise SystemExit(f"kept named {len(kept_s)} of {len(sent_s)} probes")
    return list(kept_s.values()), queryable_s


def _take_kept(listener: FastPublisher, sent_s: dict[int, float], kept_s: dict[int, float]) -> None:
    while listener.heard:
        arrived_s, _, payload = listener.heard.popleft()
        upto = json.loads(payload)["upto"]
        for seq, since_s in sent_s.items():
            if seq <= upto and seq not in kept_s:
                kept_s[seq] = arrived_s - since_s
