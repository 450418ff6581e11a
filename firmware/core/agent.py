"""A node's whole behaviour, without I/O and without a clock: the same code on an ESP32, on the unix port and in fleets.

Theory of operation. The owner has a monotonic clock (`up_ms`, ms since boot, in city scale), sensors, actuators and a
connection. It tells the agent what happens (`connected`, `received`, `interlock`, `local`, `set_clock`) and loops:

    for message in agent.step(up): publish it          # leases end, schedules change, messages are due
    for each target: actuator.set(agent.output(target))
    if agent.reading_due(up): agent.measure(up, values of the sensors)
    sleep agent.next_ms(up)

Nothing is sent at once: everything said waits in a bounded place (birth and reports as flags and a short list, readings
in the outbox) and leaves through `step`. When nothing is due `step` costs one comparison: `_wake_up_ms` is the earliest
moment at which it has work, and whatever happens sets it to "now". A change of an output, or of who controls it, is a
reading of its own and a report.
"""

from contract.wire import messages, topics
from contract.wire.messages import WireFault
from firmware.core.calls import Calls
from firmware.core.chance import Chance
from firmware.core.constants import NEVER, const
from firmware.core.leases import Leases
from firmware.core.outbox import Outbox
from firmware.core.schedule import Photocell, read_schedule
from firmware.core.speech import Speech
from firmware.core.timekeeping import DAY_MS, SYNCED, Timekeeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STEP_MESSAGES = const(8)  # at most, from one step
OUTBOX_MAX = const(512)
ACTIVE_PERIOD_MS = const(60_000)  # while an output with limits is away from safe
IDENTIFY_MS = const(30_000)  # how long a node shows itself
JUMP_MS = const(60_000)  # a clock set by more than this has jumped
SLEEP_MS_MAX = const(3_600_000)
STALLED_MS = const(200)  # real time to wait when the connection takes no more
PHOTOCELL = "illuminance_lx"


class Agent:
    """One node. See the head of this file for how to drive it."""

    def __init__(self, config: "dict[str, Any]", kind: "dict[str, Any]", stream: str, boot: int, up_ms: int) -> None:
        """`config`: device, model, firmware, reset; optional period_s, lat, lon, utc_offset_min, settings, schedule,
        outbox_max, link_scale (city ms per real ms) and carry (what `carry()` gave before the reset).
        `kind`: an entry of kinds.KINDS; `stream`: 8 hex digits, new at each boot; `boot`: grows at each boot.
        Raises ScheduleFault, or KeyError for a missing key.
        """
        self._config = config
        self._kind = kind
        self._stream = stream
        self.boot = boot
        self._scale = int(config.get("link_scale", 1)) or 1
        self._prefix = topics.topic(config["device"], "")
        chance = Chance(config["device"] + stream)
        self.period_s = int(config.get("period_s") or kind["period_s"])
        self.outbox = Outbox(int(config.get("outbox_max", OUTBOX_MAX)), self._scale, chance)
        self.clock = Timekeeper(self._scale, boot * 1000, chance)
        settings = dict(kind["limits"])
        settings.update(config.get("settings") or {})
        self.leases = Leases(kind["targets"], settings, config.get("carry") or {}, up_ms)
        self._photocell = Photocell()
        self._schedule = read_schedule(config, self.leases.targets)
        self._offset_ms = int(config.get("utc_offset_min", 0)) * 60_000
        self._schedule_up_ms = up_ms
        self._midnight_up_ms = up_ms
        self._wake_up_ms = 0
        self._reading_up_ms = up_ms
        self._phase_ms = chance.below(self.period_s * 1000)  # so that a fleet switched on at once spreads
        self._changed = False
        self._connected = False
        self.speech = Speech(self._prefix, boot)
        self._calls = Calls()
        self.lease_answer = (0, "", None)  # type: tuple[int, str, str | None]  # (version, result, code) of the last
        self.identify_up_ms = 0  # the node shows itself until then
        self.ignored = 0  # messages of topics that are none of ours, and of other streams
        self.bad_messages = 0  # messages that break the wire

    # ---- figures

    @property
    def outbox_count(self) -> int:
        """Readings held."""
        return self.outbox.count

    @property
    def shed_count(self) -> int:
        """Readings dropped because the outbox was full."""
        return self.outbox.shed

    @property
    def refused_count(self) -> int:
        """Sends that the platform read past without keeping."""
        return self.outbox.refused

    @property
    def online(self) -> bool:
        return self._connected

    # ---- the connection

    def will(self) -> "tuple[str, bytes, int, bool]":
        """(topic, payload, qos, retain) for the *next* connection: ask anew before each."""
        return self.speech.will()

    def subscriptions(self) -> "list[tuple[str, int]]":
        """(filter, qos) to subscribe to before `connected` is called."""
        return [
            (self._prefix + topics.KEPT, 0),
            (self._prefix + topics.LEASE, 1),
            (self._prefix + topics.CALL, 1),
            (self._prefix + topics.NOW, 0),
        ]

    def connected(self, up_ms: int) -> None:
        """The broker took us: birth, state, and what is held will leave with the next steps."""
        self._connected = True
        self.speech.connected()
        if self.leases.targets:
            self._report(self.leases.version, self.leases.result, None)
        self.clock.connected(up_ms)
        self.outbox.reconnected(up_ms)
        self._wake_up_ms = 0

    def disconnected(self, up_ms: int) -> None:
        self._connected = False
        self.clock.disconnected()
        self._wake_up_ms = 0

    def received(self, up_ms: int, topic: str, payload: bytes) -> None:
        """A message of one of our subscriptions. What breaks the wire is counted and remarked, never raised."""
        channel = topic[len(self._prefix) :] if topic.startswith(self._prefix) else ""
        try:
            if channel == topics.KEPT:
                self._take_kept(up_ms, payload)
            elif channel == topics.LEASE:
                if payload:  # empty: the broker forgets its retained lease, which is nothing to us
                    version, issued, wanted = messages.parse_lease(payload)
                    self._take_lease(up_ms, version, issued, wanted)
            elif channel == topics.NOW:
                unix_ms = self.clock.answered(up_ms, *messages.parse_now(payload))
                if unix_ms is not None:
                    self.set_clock(up_ms, unix_ms, SYNCED)
            elif channel == topics.CALL:
                self._take_call(up_ms, payload)
            else:
                self.ignored += 1
        except WireFault as fault:
            self.bad_messages += 1
            version = _version(payload) if channel == topics.LEASE else 0
            if version:
                self.lease_answer = (version, "refused", fault.code)
                self._report(*self.lease_answer)
            else:
                self.remark("warning", "bad_" + channel + "_" + fault.code)
        self._wake_up_ms = 0

    # ---- time

    def set_clock(self, up_ms: int, unix_ms: int, quality: str) -> None:
        """It is `unix_ms` now; `quality` is "synced", or "held" when the source itself has run on alone."""
        step = self.clock.set(up_ms, unix_ms, quality)
        self._new_day(up_ms, abs(step) > JUMP_MS)
        self.leases.clock_set(up_ms, unix_ms)
        self._schedule_up_ms = up_ms
        waiting = self.leases.waiting()
        if waiting is not None:
            self._take_lease(up_ms, *waiting)
        self._wake_up_ms = 0

    def unix_ms(self, up_ms: int) -> "int | None":
        return self.clock.unix_ms(up_ms)

    # ---- the thing in the street

    def output(self, target: str) -> float:
        """What the actuator must do now; booleans as 0.0 or 1.0."""
        return self.leases.targets[target].value

    def by(self, target: str) -> str:
        """Who rules it: interlock, local, lease, schedule or safe."""
        return self.leases.targets[target].by

    def interlock(self, up_ms: int, target: str, active: bool, reason: str) -> None:
        """A check at the device holds the target at safe, or lets go."""
        before = self.leases.targets[target].locked
        self.leases.lock(target, active)
        if active != before:
            self.remark("warning" if active else "info", "interlock_" + (reason if active else "clear"))
            self._changed = True
        self._settle(up_ms)

    def local(self, up_ms: int, target: str, value: "float | None") -> None:
        """A hand at the device sets the target, or (None) gives it back."""
        self.leases.hand(target, value)
        self._settle(up_ms)

    def illuminance(self, up_ms: int, lux: float) -> None:
        """What the photocell sees, between readings; it rules when the clock does not."""
        before = self._photocell.dark
        self._photocell.saw(up_ms, lux)
        if self._photocell.dark is not before:
            self._schedule_up_ms = up_ms
            self._wake_up_ms = 0

    def reading_due(self, up_ms: int) -> bool:
        """Is it time to measure: the period is over, or an output, its ruler or an interlock changed?"""
        return self._changed or up_ms >= self._reading_up_ms

    def measure(self, up_ms: int, values: "dict[str, Any]") -> int:
        """Hold a reading of these values (None or not finite: unknown) and of the targets; return its seq."""
        reading = {}
        digits_of = self._kind["metrics"]
        for name, value in values.items():
            if value is None or (type(value) is float and value - value != 0.0):
                continue
            digits = digits_of.get(name)
            if digits == "boolean":
                value = bool(value)
            elif digits == "counter":
                value = int(value)
            elif type(digits) is int:
                value = round(float(value), digits)
            reading[name] = value
            if name == PHOTOCELL:
                self.illuminance(up_ms, value)
        for name, target in self.leases.targets.items():
            reading[name] = target.on_wire
            if target.control:
                reading[target.control] = target.by
        unix_ms = self.clock.unix_ms(up_ms)
        urgent = self._changed
        self._changed = False
        self._plan_reading(up_ms)
        shed = self.outbox.shed
        key = "up" if unix_ms is None else "at"
        moment = up_ms if unix_ms is None else unix_ms
        seq = self.outbox.add(reading, key, moment, self.clock.quality(up_ms), urgent)
        if self.outbox.shed != shed:
            self.remark("warning", "outbox_full")
        self._wake_up_ms = 0
        return seq

    def make_room(self) -> None:
        """Memory is scarcer than the outbox' bound says: drop a reading."""
        self.outbox.make_room()
        self.remark("warning", "outbox_full")

    def carry(self, up_ms: int) -> "dict[str, Any]":
        """What must survive a reset, for `config["carry"]`: save it whenever an output changes. Empty: nothing."""
        return self.leases.carry(up_ms)

    def remark(self, level: str, event: str) -> None:
        """Tell the platform about ourselves; the same event at most once a connection."""
        if self.speech.remark(level, event):
            self._wake_up_ms = 0

    # ---- time goes on

    def step(self, up_ms: int, room: int = STEP_MESSAGES) -> "list[tuple[str, bytes, int, bool]]":
        """Let time work; return the messages (topic, payload, qos, retain) to publish now, `room` at most."""
        if up_ms < self._wake_up_ms:
            return []
        self._settle(up_ms)
        out = []  # type: list[tuple[str, bytes, int, bool]]
        if self._connected:
            self._speak(up_ms, room, out)
        self._wake_up_ms = self._next_wake(up_ms, out, room)
        return out

    def next_ms(self, up_ms: int) -> int:
        """ms (city scale) until `step` or a reading is next needed; at most an hour."""
        if self._changed:
            return 0
        return max(0, min(self._wake_up_ms, self._reading_up_ms, up_ms + SLEEP_MS_MAX) - up_ms)

    # ---- details: what comes

    def _take_kept(self, up_ms: int, payload: bytes) -> None:
        stream, upto, also, deferred = messages.parse_kept(payload)
        if stream != self._stream:
            self.ignored += 1
            return
        aside = self.outbox.set_aside
        sound = self.outbox.kept(up_ms, upto, also, deferred)
        if self.outbox.set_aside != aside:
            self.remark("warning", "reading_set_aside")
        if not sound:
            raise WireFault(messages.OUT_OF_RANGE, "kept: names a seq that was never given out")

    def _take_lease(self, up_ms: int, version: int, issued: int, wanted: "dict[str, Any]") -> None:
        answer = self.leases.take(up_ms, self.clock.unix_ms(up_ms), version, issued, wanted)
        if self.leases.settle(up_ms, True):
            self._changed = True
        self.lease_answer = answer
        self._report(*answer)

    def _take_call(self, up_ms: int, payload: bytes) -> None:
        call_id, do, _, expires = messages.parse_call(payload)
        now, answer = self._calls.judge(self.clock.unix_ms(up_ms), call_id, do, expires)
        if now and do == "identify":
            self.identify_up_ms = up_ms + IDENTIFY_MS * self._scale
        elif now:
            self._reading_up_ms = up_ms
        self.speech.answer(answer)

    # ---- details: what leaves

    def _speak(self, up_ms: int, room: int, out: "list[tuple[str, bytes, int, bool]]") -> None:
        at = self.clock.unix_ms(up_ms)
        speech = self.speech
        if speech.birth_due and len(out) < room:
            out.append(speech.birth(at, self._stream, self._kind["kind"], self._config, self.period_s))
        if self.clock.ask_up_ms <= up_ms and len(out) < room:
            nonce = self.clock.ask(up_ms)
            if nonce is not None:
                out.append((self._prefix + topics.TIME, messages.time_request(nonce), 0, False))
        speech.say(at, self.leases.targets, room, out)
        while len(out) < room:
            message = self.outbox.take(up_ms)
            if message is None:
                break
            clock, readings = message
            payload = messages.telemetry(self._stream, self.boot, clock, self.outbox.oldest, readings)
            out.append((self._prefix + topics.TELEMETRY, payload, 1, False))

    def _report(self, version: int, result: str, code: "str | None") -> None:
        if self._connected:  # else the state is said at the next connect anyway
            self.speech.report((version, result, code))

    # ---- details: time

    def _settle(self, up_ms: int) -> None:
        if up_ms >= self._schedule_up_ms:
            self._follow_schedule(up_ms)
        if up_ms >= self._midnight_up_ms:
            self._new_day(up_ms, False)
        if self.leases.settle(up_ms):
            self._changed = True
            self._report(self.leases.version, self.leases.result, None)
            self._wake_up_ms = 0

    def _follow_schedule(self, up_ms: int) -> None:
        """Put the schedule's (or the photocell's) present value to the targets that have one."""
        value = None  # type: float | None
        self._schedule_up_ms = NEVER
        unix_ms = self.clock.unix_ms(up_ms)
        if self._schedule is not None and unix_ms is not None:
            value, change_ms = self._schedule.at(unix_ms)
            self._schedule_up_ms = up_ms + change_ms - unix_ms
        dark = None  # type: bool | None
        if value is None:
            fresh_ms = 2 * self.period_s * 1000
            dark = self._photocell.at(up_ms, fresh_ms)
            if dark is not None:
                self._schedule_up_ms = min(self._schedule_up_ms, up_ms + fresh_ms)
        for target in self.leases.targets.values():
            if target.scheduled:
                to = value
                if dark is not None:
                    to = target.maximum if dark else target.minimum
                target.schedule = None if to is None else min(target.maximum, max(target.minimum, to))

    def _new_day(self, up_ms: int, jumped: bool) -> None:
        self._midnight_up_ms = NEVER
        if self.leases.limited:
            unix_ms = self.clock.unix_ms(up_ms)
            if unix_ms is None:
                self.leases.today(up_ms, None, jumped)
                self._midnight_up_ms = up_ms + DAY_MS // 24
            else:
                day = (unix_ms + self._offset_ms) // DAY_MS
                self.leases.today(up_ms, day, jumped)
                self._midnight_up_ms = up_ms + (day + 1) * DAY_MS - self._offset_ms - unix_ms

    def _plan_reading(self, up_ms: int) -> None:
        period_ms = self.period_s * 1000
        if up_ms >= self._reading_up_ms:
            if self._phase_ms:
                self._reading_up_ms = up_ms + self._phase_ms
                self._phase_ms = 0
            else:
                # On the beat, unless so many were missed that the beat itself is over.
                self._reading_up_ms += period_ms
                if self._reading_up_ms <= up_ms:
                    self._reading_up_ms = up_ms + period_ms
        if self.leases.running:
            self._reading_up_ms = min(self._reading_up_ms, up_ms + ACTIVE_PERIOD_MS)

    def _next_wake(self, up_ms: int, out: "list[Any]", room: int) -> int:
        if self._connected and (self.speech.due or len(out) >= room):
            return up_ms if out else up_ms + STALLED_MS * self._scale
        wake = min(self._schedule_up_ms, self._midnight_up_ms, self.leases.wake_up_ms(up_ms))
        if self._connected:
            wake = min(wake, self.clock.ask_up_ms, self.outbox.wake_up_ms())
        return wake


def _version(payload: bytes) -> int:
    """The version of a lease that breaks the wire, for the answer to it; 0 when it cannot be read."""
    try:
        version = messages.parse_object(payload).get("version")
    except WireFault:
        return 0
    return version if type(version) is int and 0 < version <= messages.INTEGER_MAX else 0
