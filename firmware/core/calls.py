"""What the platform asks a node to do once. A call sent twice is done once and answered twice."""

from firmware.core.constants import const

CALLS = ("identify", "measure")  # what a node can do
REMEMBERED_MAX = const(8)


class Calls:
    """Judges each call; the last REMEMBERED_MAX answers are remembered, so that a repeated one gets the same."""

    def __init__(self) -> None:
        self._answers = []  # type: list[tuple[str, str, str | None]]  # (id, status, code), oldest first

    def judge(
        self, unix_ms: "int | None", call_id: str, do: str, expires: int
    ) -> "tuple[bool, tuple[str, str, str | None]]":
        """(is it to be done now?, the answer). Without a clock nothing is done: the call may be long over."""
        for answer in self._answers:
            if answer[0] == call_id:
                return False, answer
        if unix_ms is None:
            answer = (call_id, "refused", "no_clock")
        elif unix_ms >= expires:
            answer = (call_id, "expired", "expired")
        elif do in CALLS:
            answer = (call_id, "done", None)
        else:
            answer = (call_id, "refused", "unknown_call")
        self._answers.append(answer)
        if len(self._answers) > REMEMBERED_MAX:
            self._answers.pop(0)
        return answer[1] == "done", answer
