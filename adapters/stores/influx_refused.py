"""A request of which the server will not take a part: which lines are they?

InfluxDB names one of them and how many it dropped, not which. So the lines are sent again in halves, down to those that
are refused alone or all together; sending a line again changes nothing. Lines with the same fields are put together
first: they mostly share their fate, and a thousand refused ones are then found in a dozen requests.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from adapters.stores.influx_link import Refusal, TooLarge
from contract.ports import StoreFault

_NAME = re.compile(r"(\w+)=")


class Refused(NamedTuple):
    number: int  # its place among those given
    line: str
    sentence: str  # the server's own


def deliver(post: Callable[[bytes], None], lines: Sequence[str]) -> list[Refused]:
    """Post the lines, at most twice as many requests as lines; those refused for good, in no order. Raises StoreFault.

    A request that is too large is halved, too; a single line that is would be so for ever, and is a StoreFault.
    """
    if not lines:
        return []
    refused: list[Refused] = []
    waiting = [list(range(len(lines)))]
    sorted_once = False
    while waiting:
        numbers = waiting.pop()
        try:
            post("\n".join([lines[number] for number in numbers]).encode())
        except (Refusal, TooLarge) as error:
            dropped = error.dropped if isinstance(error, Refusal) else None
            if isinstance(error, TooLarge) and len(numbers) == 1:  # a proxy's mistake, and no fault of the reading
                size = len(lines[numbers[0]].encode())
                raise StoreFault(
                    f"{error}, not even one reading of {size} bytes; allow requests of 10 MB in the proxy before it"
                ) from None
            if len(numbers) == 1 or dropped == len(numbers):
                refused += [Refused(number, lines[number], str(error)) for number in numbers]
                continue
            if not sorted_once and isinstance(error, Refusal):
                numbers.sort(key=lambda number: _likeness(lines[number]))
                sorted_once = True
            middle = len(numbers) // 2
            waiting += [numbers[middle:], numbers[:middle]]
    return refused


def _likeness(line: str) -> tuple[list[str], str]:
    return _NAME.findall(line), line.rpartition(" ")[2]
