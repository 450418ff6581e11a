"""Which status and reported messages are news: a retained one may come again, a will may come late.

Within a boot `n` grows. A will carries the n of its connection's birth and comes after it; whatever lies before is old.
Status and reported are ordered apart, within the stream of the device's last birth: a node that lost its memory counts
its boots anew, and its new stream says so.
"""

from contract.records import Reported, Status
from ingest.ledger import Stream


def take_birth(stream: Stream, birth: Status) -> bool:
    """Is this birth news? Remembered in its stream when it is."""
    if stream.status is not None:
        boot, _, n = stream.status
        if (birth.boot, birth.n) <= (boot, n):
            return False
    stream.status = (birth.boot, birth.n - 1, birth.n)
    return True


def take_will(stream: Stream, will: Status) -> bool:
    """Is this will news? Remembered in the device's current stream when it is."""
    if stream.status is None:
        stream.status = (will.boot, will.n, will.n)
        return True
    boot, floor, n = stream.status
    if (will.boot, will.n) <= (boot, floor):
        return False
    stream.status = (will.boot, will.n, max(n, will.n) if will.boot == boot else will.n)
    return True


def take_reported(stream: Stream, reported: Reported) -> bool:
    """Is this report news? Remembered in the device's current stream when it is."""
    if stream.reported is not None and (reported.boot, reported.n) <= stream.reported:
        return False
    stream.reported = (reported.boot, reported.n)
    return True
