"""The loop of a node around agent, board and link: what a board refuses, what a lease sets off, what memory allows."""

from contract.wire import messages
from firmware.main import Node
from tests.firmware.behaviour.driven import MINUTE, NOON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Board:
    """A valve that writes down what it is told, and whose flash and sensors refuse when `broken`."""

    boot = 12
    reset = "power_on"
    network = None

    def __init__(self) -> None:
        self.carry = {}  # type: dict[str, Any]
        self.up = 0
        self.told = []  # type: list[tuple[str, Any]]
        self.broken = False

    def up_ms(self) -> int:
        return self.up

    def stream(self) -> str:
        return "9f3c01aa"

    def drive(self, target: str, value: float) -> None:
        self.told.append((target, value))

    def sample(self, up_ms: int, unix_ms: "int | None") -> "dict[str, Any]":
        return {"flow_l_min": self._works(60.0)}

    def illuminance(self, unix_ms: "int | None") -> "float | None":
        self._works()
        return None

    def interlocks(self) -> "list[tuple[str, bool, str]]":
        return self._works([])  # type: ignore[no-any-return]

    def hands(self) -> "list[tuple[str, float | None]]":
        return self._works([])  # type: ignore[no-any-return]

    def identify(self, on: bool) -> None:
        pass

    def save(self, carry: "dict[str, Any]") -> None:
        self._works()
        self.told.append(("saved", carry["open"]["used_ms"]))

    def feed(self) -> None:
        pass

    def _works(self, value: "Any" = None) -> "Any":
        if self.broken:
            raise OSError(28)
        return value


def valve() -> "tuple[Node, Board]":
    """A valve that knows the time; without a line it holds all it would say."""
    board = Board()
    node = Node({"device": "valve-1", "kind": "irrigation_valve", "host": "127.0.0.1", "port": 1}, board)
    node.agent.set_clock(0, NOON, "synced")
    pass_by(node, board, 1000)
    del board.told[:]
    return node, board


def pass_by(node: Node, board: Board, ms: int) -> None:
    """Turn as often as the node's loop would, a second at most between two turns."""
    end = board.up + ms
    while board.up < end:
        wait_ms = node._turn()
        board.up = min(end, board.up + max(1, wait_ms))
    node._turn()


def lease(node: Node, board: Board, minutes: int) -> None:
    """Open for so long; 0: let go."""
    now = NOON + board.up
    wanted = {"open": {"to": True, "until": now + minutes * MINUTE, "reason": "x"}} if minutes else {}
    version = max(now, node.agent.leases.version + 1)
    node.link_message("nabd/1/valve-1/lease", messages.lease(version, now, wanted))


def readings(node: Node) -> "list[dict[str, Any]]":
    """The values of all that is held, oldest first."""
    return [held.reading["v"] for held in node.agent.outbox._all]


def test_two_leases_in_the_same_bytes_are_two_readings() -> None:
    node, board = valve()
    held = node.agent.outbox_count
    lease(node, board, 10)
    lease(node, board, 0)
    pass_by(node, board, 1000)
    told = [(values["open"], values["open_by"], values["flow_l_min"]) for values in readings(node)[held:]]
    assert told == [(True, "lease", 60.0), (False, "safe", 60.0)]


def test_a_run_counts_as_used_in_flash_before_it_begins_and_is_taken_back_after_it_ended() -> None:
    node, board = valve()
    lease(node, board, 10)
    assert board.told == [("saved", 10 * MINUTE), ("open", 1.0)]
    pass_by(node, board, MINUTE)
    lease(node, board, 0)
    assert board.told[2:] == [("open", 0.0), ("saved", MINUTE)]


def test_a_board_that_refuses_ends_no_node_and_its_flash_is_tried_again() -> None:
    node, board = valve()
    board.broken = True
    lease(node, board, 10)
    pass_by(node, board, 2 * MINUTE)
    assert board.told == [("open", 1.0)]
    assert node._turn() > 100, "without haste"
    assert "flow_l_min" not in readings(node)[-1], "unknown"
    assert readings(node)[-1]["open"] is True
    assert sorted(node.agent.speech._remarks) == [("error", "flash_refused"), ("error", "sensor_fault")]
    board.broken = False
    pass_by(node, board, 1000)
    assert board.told[1:] == [("saved", 10 * MINUTE)]
    board.broken = True
    pass_by(node, board, 8 * MINUTE)
    assert board.told[2:] == [("open", 0.0)], "and shut on time"
