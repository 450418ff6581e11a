"""A node: the same file on an ESP32 (as /main.py, with /node.json) and on the unix port, from the root of the project:

    micropython -m firmware.main --device lamp-1 --kind street_light --host 127.0.0.1 --port 1883

It prints one line of key=value for each change of state. Ctrl-C ends it cleanly; SIGTERM ends it like a power cut (the
unix port knows no signals), which it survives as a node in the street does.
"""

import asyncio
import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ON_UNIX = sys.platform == "linux" or sys.platform == "darwin"
IDLE_MS = 1000  # between looks at interlocks, hands and photocell
PIECE_BYTES = 10240  # three must be free when a reading is made: a message of 8 KiB is a text, a payload and a packet
LINK_SILENT_MS = 120000  # the link's task has not moved for so long: let the watchdog bite
MODEL = "nabd-unix" if ON_UNIX else "nabd-esp32"
VERSION = "0.1.0"
KEEPALIVE_S, KEEPALIVE_S_MIN, KEEPALIVE_S_MAX = 30, 5, 3600
# Option → (key of the configuration, type)
OPTIONS = {
    "--device": ("device", str),
    "--kind": ("kind", str),
    "--host": ("host", str),
    "--port": ("port", int),
    "--ca": ("ca", "file"),
    "--user": ("username", str),
    "--password-file": ("password", "file"),
    "--speed": ("speed", int),
    "--period-s": ("period_s", int),
    "--keepalive-s": ("keepalive_s", int),
    "--data": ("data", str),
    "--lat": ("lat", float),
    "--lon": ("lon", float),
    "--utc-offset-min": ("utc_offset_min", int),
}  # type: dict[str, tuple[str, Any]]
USAGE = """usage: micropython -m firmware.main --device ID --kind KIND [--host 127.0.0.1] [--port 1883] [--ca FILE]
  [--user NAME] [--password-file FILE] [--speed 1] [--period-s N] [--keepalive-s 30] [--data DIR]
  [--lat DEG --lon DEG] [--utc-offset-min N] [--setting NAME=VALUE]… [--config FILE]"""


class Misconfigured(Exception):
    """What is wrong with the options or node.json, in a sentence."""


class Node:
    """Agent, board and link, in one loop."""

    def __init__(self, config: "dict[str, Any]", board: "Any") -> None:
        # Late: the outputs are safe before the rest of the program is even read.
        from contract.wire.messages import PAYLOAD_BYTES_MAX
        from contract.wire.mqtt import Session
        from firmware.core.agent import Agent
        from firmware.core.chance import Chance
        from firmware.core.kinds import KINDS
        from firmware.net.link import Link

        self._board = board
        self._speed = int(config.get("speed", 1))
        config["link_scale"] = self._speed
        config["carry"] = board.carry
        config["reset"] = board.reset
        config.setdefault("model", MODEL)
        config.setdefault("firmware", VERSION)
        stream = board.stream()
        self.agent = Agent(config, KINDS[config["kind"]], stream, board.boot, self._up_ms())
        password = config.get("password")
        username = config.get("username", config["device"] if password else None)
        session = Session(
            config["device"],
            config.get("keepalive_s", KEEPALIVE_S),
            username,
            password,
            in_flight_max=16,
            packet_bytes_max=PAYLOAD_BYTES_MAX + 256,  # and a topic
        )
        chance = Chance(config["device"] + stream + "link")
        self._link = Link(session, config["host"], config["port"], board, self, chance, self._tls(config))
        self._nudge = asyncio.Event()
        self._shown = {}  # type: dict[str, tuple[float, str]]  # target → what was driven
        self._unsaved = False  # flash does not have yet what must survive a reset
        self._faults = {}  # type: dict[str, str]  # event → the last reason that was printed
        self._clock = ""
        self._why = ""
        self._identifying = False
        say("boot", device=config["device"], kind=config["kind"], boot=board.boot, reset=board.reset, stream=stream)

    def _tls(self, config: "dict[str, Any]") -> "Any":
        if not config.get("ca"):
            return None
        from firmware.net.tls import Tls

        return Tls(config["ca"], config["host"], self._board, self._date_s, config.get("made_s", 0))

    def _date_s(self) -> "int | None":
        """Unix s by the node's clock; None while that is unknown, or is a simulated city's."""
        unix_ms = self.agent.unix_ms(self._up_ms())
        return None if unix_ms is None or self._speed != 1 else unix_ms // 1000

    def _up_ms(self) -> int:
        """Monotonic ms since boot, in city scale."""
        return self._board.up_ms() * self._speed

    async def run(self) -> None:
        """Until interrupted; `stop` then tidies up."""
        self._link.start()
        while True:
            try:
                wait_ms = self._turn()
            except MemoryError:
                self._make_room()
                wait_ms = IDLE_MS
            if wait_ms:
                try:
                    await asyncio.wait_for(self._nudge.wait(), wait_ms / 1000)
                except asyncio.TimeoutError:
                    pass
            else:
                await asyncio.sleep(0)
            self._nudge.clear()

    async def stop(self) -> None:
        """Leaves no socket; outputs stay as they are."""
        await self._link.stop()
        self._ask("flash_refused", None, self._board.stop)
        say("stopped")

    def _turn(self) -> int:
        """One turn of the loop; real ms until the next."""
        agent = self.agent
        board = self._board
        up_ms = self._up_ms()
        if board.up_ms() - self._link.moved_ms < LINK_SILENT_MS:
            board.feed()
        unix_ms = agent.unix_ms(up_ms)
        for target, active, reason in self._ask("sensor_fault", (), board.interlocks):
            agent.interlock(up_ms, target, active, reason)
        for target, value in self._ask("sensor_fault", (), board.hands):
            agent.local(up_ms, target, value)
        lux = self._ask("sensor_fault", None, board.illuminance, unix_ms)
        if lux is not None:
            agent.illuminance(up_ms, lux)
        self._speak(up_ms)
        self._drive(up_ms)
        if self._measure(up_ms):
            return 0
        return min(IDLE_MS, agent.next_ms(up_ms) // self._speed + 1)

    def _ask(self, event: str, otherwise: "Any", call: "Any", *arguments: "Any") -> "Any":
        """What the board's `call` gives; where its hardware refuses, `otherwise`, and the remark `event`."""
        try:
            return call(*arguments)
        except (OSError, ValueError) as fault:
            why = str(fault)
            if self._faults.get(event) != why:  # once a change, not once a try
                self._faults[event] = why
                say(event, why=why)
            self.agent.remark("error", event)
            return otherwise

    def _speak(self, up_ms: int) -> None:
        """Let time work, and publish what is due one by one: each message takes the memory of the one before it."""
        try:
            while True:
                said = self.agent.step(up_ms, min(1, self._link.room))
                if not said:
                    break
                self._link.publish(*said[0])
                del said
        except MemoryError:  # and yet the valve is shut on time: telemetry is sent again
            self._make_room()

    def _make_room(self) -> None:
        """Drop readings until there is memory to send a message, and so to hold another reading."""
        while self.agent.outbox_count:
            try:
                _ = (bytearray(PIECE_BYTES), bytearray(PIECE_BYTES), bytearray(PIECE_BYTES))
                return
            except MemoryError:
                self.agent.make_room()

    def _measure(self, up_ms: int) -> bool:
        """Make a reading if one is due; was it?"""
        agent = self.agent
        if not agent.reading_due(up_ms):
            return False
        self._make_room()
        agent.measure(up_ms, self._ask("sensor_fault", {}, self._board.sample, up_ms, agent.unix_ms(up_ms)))
        return True

    def _drive(self, up_ms: int) -> None:
        """Bring the actuators to what the agent says; tell and save what changed."""
        agent = self.agent
        for name, target in agent.leases.targets.items():
            state = (target.value, target.by)
            before = self._shown.get(name)
            if state == before:
                continue
            self._unsaved = agent.leases.limited
            if before is None or before[0] != state[0]:
                if target.value != target.safe:
                    self._save(up_ms)  # a run counts as used before it begins: the power may go in between
                self._board.drive(name, target.value)
            self._shown[name] = state
            say("output", target=name, value=target.value, by=target.by)
        self._save(up_ms)
        identifying = up_ms < agent.identify_up_ms
        if identifying != self._identifying:
            self._identifying = identifying
            self._board.identify(identifying)
            say("identify", on=identifying)
        quality = agent.clock.quality(up_ms)
        if quality != self._clock:
            self._clock = quality
            say("clock", quality=quality)

    def _save(self, up_ms: int) -> None:
        """Keep through a reset what is not kept yet; what flash refuses is tried again at each turn."""
        if self._unsaved:
            self._unsaved = bool(self._ask("flash_refused", True, self._board.save, self.agent.carry(up_ms)))

    # ---- the link asks and tells

    def will(self) -> "tuple[str, bytes, int, bool]":
        return self.agent.will()

    def subscriptions(self) -> "list[tuple[str, int]]":
        return self.agent.subscriptions()

    def link_up(self) -> None:
        self.agent.connected(self._up_ms())
        say("connected", held=self.agent.outbox_count)
        self._nudge.set()

    def link_down(self, why: str) -> None:
        if self.agent.online or why != self._why:  # once a change, not once a try
            say("disconnected", why=why)
        self._why = why
        self.agent.disconnected(self._up_ms())
        self._nudge.set()

    def link_message(self, topic: str, payload: bytes) -> None:
        up_ms = self._up_ms()
        self.agent.received(up_ms, topic, payload)
        if topic.endswith("/lease"):
            version, result, code = self.agent.lease_answer
            say("lease", version=version, result=result, code=code)
        self._drive(up_ms)
        self._measure(up_ms)  # at once: the next lease may stand in the same bytes, and undo what nothing told of
        self._nudge.set()

    def link_room(self) -> None:
        self._nudge.set()

    def link_remark(self, event: str) -> None:
        self.agent.remark("warning", event)


def say(event: str, **facts: "Any") -> None:
    """One line of key=value on the only screen a node has; `event` first, the rest by name."""
    words = ["event=" + event]
    for key in sorted(facts):
        value = facts[key]
        text = str(value)
        words.append(key + "=" + ('"' + text.replace('"', "'") + '"' if " " in text else text))
    print(" ".join(words))


def configured(arguments: "list[str]") -> "dict[str, Any]":
    """The configuration from options, or on the ESP32 from node.json. Raises Misconfigured."""
    config = {"host": "127.0.0.1", "port": 1883, "speed": 1, "data": ".", "settings": {}}  # type: dict[str, Any]
    given = {}  # type: dict[str, Any]
    files = [] if ON_UNIX else ["node.json"]
    settings = {}
    position = 0
    while position < len(arguments):
        option = arguments[position]
        if position + 1 >= len(arguments):
            raise Misconfigured("%s: needs a value\n%s" % (option, USAGE))
        value = arguments[position + 1]
        position += 2
        if option == "--config":
            files.append(value)
        elif option == "--setting":
            name, _, number = value.partition("=")
            settings[name] = _as("--setting " + name, number, float)
        elif option in OPTIONS:
            key, convert = OPTIONS[option]
            given[key] = _text(value).strip() if convert == "file" else _as(option, value, convert)
        else:
            raise Misconfigured("%s: no such option\n%s" % (option, USAGE))
    for file in files:
        config.update(_read(file))
    config.update(given)
    config["settings"].update(settings)
    _check(config)
    return config


def _check(config: "dict[str, Any]") -> None:
    from contract.wire.topics import is_device_id
    from firmware.core.kinds import KINDS

    for key in ("device", "kind"):
        if key not in config:
            raise Misconfigured("%s: missing\n%s" % (key, USAGE))
    if not is_device_id(config["device"]):
        raise Misconfigured("device: %r must be 1 to 32 lower-case letters, digits and -" % config["device"])
    if config["kind"] not in KINDS:
        raise Misconfigured("kind: %r is unknown; known: %s" % (config["kind"], ", ".join(sorted(KINDS))))
    if not 1 <= config["speed"] <= 3600:
        raise Misconfigured("speed: %r is not within 1 and 3600" % config["speed"])
    if not KEEPALIVE_S_MIN <= config.get("keepalive_s", KEEPALIVE_S) <= KEEPALIVE_S_MAX:
        limits = (config["keepalive_s"], KEEPALIVE_S_MIN, KEEPALIVE_S_MAX)
        raise Misconfigured("keepalive_s: %r is not within %d and %d" % limits)


def _as(option: str, text: str, convert: "Any") -> "Any":
    try:
        return convert(text)
    except ValueError:
        raise Misconfigured("%s: %r is not a number" % (option, text))  # noqa: B904 - MicroPython


def _text(file: str) -> str:
    try:
        with open(file) as stream:
            return stream.read()
    except (OSError, UnicodeError) as fault:
        raise Misconfigured("%s: cannot be read (%s)" % (file, fault))  # noqa: B904 - MicroPython


def _read(file: str) -> "dict[str, Any]":
    try:
        document = json.loads(_text(file))
    except ValueError:
        raise Misconfigured("%s: is not JSON" % file)  # noqa: B904 - MicroPython
    if type(document) is not dict:
        raise Misconfigured("%s: must be a JSON object" % file)
    return document


def main() -> int:
    try:
        config = configured(sys.argv[1:])
        if ON_UNIX:
            from firmware.hal.unix import THINGS, Board
        else:
            from firmware.hal.esp32 import THINGS, Board  # type: ignore[assignment]
        if config["kind"] not in THINGS:
            raise Misconfigured("kind: %s has no driver here; there are %s" % (config["kind"], ", ".join(THINGS)))
        node = Node(config, Board(config))
    except (Misconfigured, ValueError, OSError) as fault:
        print("nabd node: %s" % fault)
        return 2
    try:
        asyncio.run(node.run())
    except KeyboardInterrupt:
        # It left the loop where it was; the same loop finishes.
        asyncio.get_event_loop().run_until_complete(node.stop())
    return 0


if __name__ == "__main__":
    sys.exit(main())
