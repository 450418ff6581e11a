"""Which status and reported messages are news: a retained one may come again, a will may come late.

Within a boot `n` grows. A will carries the n of its connection's birth and comes after it; whatever lies before is old.
Status and reported are ordered apart, within the stream of the device's last birth: a node that lost its memory counts
its boots anew, and its new stream says so.
"""

from contract.records import Reported, Status
from ingest.ledger import Stream


def take_status(stream: Stream, status: Status) -> bool:
    """Is this birth or will news? Remembered in its stream when it is."""
    order = (status.boot, status.n, 0 if status.online else 1)
    if stream.status is not None and order <= stream.status:
        return False
    stream.status = order
    return True


def take_reported(stream: Stream, reported: Reported) -> bool:
    """Is this report news? Remembered in the device's current stream when it is."""
    order = (reported.boot, reported.n)
    if stream.reported is not None and order <= stream.reported:
        return False
    stream.reported = order
    return True
