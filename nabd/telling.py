"""How the platform is, told to the console: the wiring's rooms in one document (console.platform.Health)."""

from typing import TYPE_CHECKING

from nabd import losing

if TYPE_CHECKING:
    from nabd.wiring import House


def health(house: "House") -> dict[str, object]:
    recorder, guard, watch = house.recorder, house.guard, house.log_watch
    faults = [
        f"{name}: {fault}"
        for name, fault in (
            ("decider", house.decider.fault),
            ("store", house.writer.fault),
            ("store", losing.sentence(house.writer.lost)),
            ("live view", house.live_feeder.fault),
            ("recorder", recorder.fault if recorder is not None else ""),
            ("broker", guard.fault if guard is not None else house.receiver.fault),
        )
        if fault
    ]
    origin, jump = house.folder.format.clock, watch.jump()
    return {
        "connected": house.receiver.connected,
        "faults": faults,
        "consumers": {
            "decider": house.decider.position,
            "store": house.writer.position,
            "live": house.live_feeder.position,
        },
        "left_out": {
            "store_passed_over": house.store.passed_over,
            **(recorder.left_out() if recorder is not None else {}),
        },
        "clock": {
            "city_origin_ms": origin.city_origin_ms,
            "real_origin_ms": origin.real_origin_ms,
            "speed": origin.speed,
        },
        "log": {
            "bytes_max": house.settings.log_bytes_max,
            "full_in_s": watch.full_in_s(),
            "ahead_s": watch.ahead_s(),
            "ticks_missed": house.ticker.missed,
            "recall_left": house.recall.left,
            "clock_jumps": watch.jumps,
            "clock_jump_s": jump.by_s if jump is not None else None,
            "clock_jump_at_ms": jump.at_ms if jump is not None else None,
        },
        **house.ingest.status(),
    }
