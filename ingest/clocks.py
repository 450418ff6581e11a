"""When a reading was measured: the device's word, unless that cannot be; then an estimate, fixed before it is written.

Theory of operation. Nothing arrives before it was measured. So arrival − `at` is how much a clock is behind, plus the
way's delay, and the newest reading of a boot, which a node sends first and at once, tells it best.

- Ahead by more than PUNCTUAL_MS is impossible: one reading is enough. It is taken as measured just now, and a later one
  that shows the clock to be still further ahead corrects that (of several estimates the one with the least delay is
  right).
- So is a time from before there were such devices, and one older than any reading may be in a boot whose own birth said
  such a time: the clock was never set.
- A clock that is behind looks like backlog. It is believed (and the readings are LATE, so that they move nothing) until
  STEADY_READINGS of the newest readings, over STEADY_MS at least, came late by the same time, give or take
  STEADY_WITHIN_MS: backlog that is worked off comes less and less late.
- A newest reading that says our own time is by a clock that is right, whatever was found before: it was set meanwhile.

What was found holds for all readings of the boot with the same `clock`, backlog too, and stands in the ledger before
the first reading is written by it. A boot of which only older readings come, after a later one began, was never heard
live: it ended before the later one began, and nobody knows how long before. The same holds for boots without a clock,
whose readings say ms since boot.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from contract.clocks import PUNCTUAL_MS, Skew
from contract.records import Quality
from contract.wire.messages import AGE_MS_MAX

NO_CLOCK = "none"
HELD = "held"

UNSET_BEFORE_MS = 1_600_000_000_000
"""September 2020, as in firmware/core/timekeeping: whoever says it is earlier was never told the time."""
STEADY_READINGS = 5
STEADY_MS = 300_000
STEADY_WITHIN_MS = 30_000


class Lags(NamedTuple):
    """How late the newest readings of one boot came, one after the other, while that was always about the same."""

    boot: int
    clock: str
    since_seq: int
    since_ms: int  # when the first of them came
    low_ms: int
    high_ms: int
    times: int

    @property
    def is_steady(self) -> bool:
        return self.times >= STEADY_READINGS


COMMON_DEVICES = 3


class Clocks(NamedTuple):
    """How the clocks of the fleet are."""

    off: int  # devices whose clocks are corrected
    alike: int  # how many of them are wrong by the same minute or so
    ahead_ms: int  # by so much; negative when they are behind
    known: int  # devices that were ever heard

    @property
    def is_common(self) -> bool:
        """Is it rather our own clock, or the time server that they all ask?"""
        return self.alike >= COMMON_DEVICES and 2 * self.alike > self.known

    @property
    def fault(self) -> str:
        """What to do about it, where most of the fleet is wrong alike; else empty."""
        if not self.is_common:
            return ""
        way = "ahead of" if self.ahead_ms > 0 else "behind"
        return (
            f"{self.alike} of {self.known} devices are {abs(self.ahead_ms) // 1000} s {way} this machine's clock, all "
            "alike: check this clock, and the time server they ask; their readings are corrected and marked meanwhile"
        )


def fleet_clocks(ahead_ms: Iterable[int], known: int) -> Clocks:
    """`ahead_ms`: of each device whose clock is wrong."""
    found = sorted(ahead_ms)
    alike, least, first = 0, 0, 0
    for last, ms in enumerate(found):
        while ms - found[first] > PUNCTUAL_MS:
            first += 1
        if last - first + 1 > alike:
            alike, least = last - first + 1, found[first]
    return Clocks(len(found), alike, least, known)


class Known(Protocol):
    """What is known of one (device, stream): the ledger's."""

    boots: Mapping[int, int]
    told: tuple[int, int] | None
    lags: Lags | None

    def is_newest(self, seq: int) -> bool: ...
    def ahead_ms(self, boot: int, clock: str, seq: int) -> int: ...
    def fix_skew(self, skew: Skew) -> None: ...
    def fix_boot(self, boot: int, offset_ms: int) -> None: ...
    def date_roughly(self, boot: int, earlier_ms: int | None) -> None: ...


class Dated(Protocol):
    """A reading as its device dated it."""

    seq: int
    at: int | None


def fix_offset(known: Known, boot: int, newest_up_ms: int, now_ms: int, *, is_live: Callable[[], bool]) -> int:
    """What dates the `up` times of a boot: fixed already, or from the newest reading at hand, as if just measured.

    A later reading that would lie in the future by it shows that the first one came late, and corrects it.
    """
    offset_ms = known.boots.get(boot)
    if offset_ms is None or offset_ms + newest_up_ms > now_ms + PUNCTUAL_MS:
        began_ms = _latest_ms(known, boot, now_ms) - newest_up_ms
        if offset_ms is None and not is_live():
            before_ms = max((offset for earlier, offset in known.boots.items() if earlier < boot), default=None)
            known.date_roughly(boot, None if before_ms is None else max(0, began_ms - before_ms))
        known.fix_boot(boot, began_ms)
        return began_ms
    return offset_ms


def fix_clock(
    known: Known, boot: int, clock: str, readings: Sequence[Dated], now_ms: int, *, is_live: Callable[[], bool]
) -> None:
    """Learn from a message what there is to learn of the clock that dated it; `Known.ahead_ms` says it then."""
    newest = max(readings, key=_at)
    at_ms = _at(newest)
    ahead_ms = known.ahead_ms(boot, clock, newest.seq)
    corrected_ms = at_ms - ahead_ms
    is_newest = known.is_newest(newest.seq)
    if is_newest and abs(at_ms - now_ms) <= PUNCTUAL_MS:
        known.lags = None
        if ahead_ms:
            known.fix_skew(Skew(boot, clock, newest.seq, 0))
    elif corrected_ms > now_ms + PUNCTUAL_MS or (corrected_ms < now_ms - AGE_MS_MAX and _is_unset(known, boot, at_ms)):
        if at_ms - min(map(_at, readings)) > AGE_MS_MAX:
            return  # a boot is not that long: one of the times is noise, and says nothing of the others
        if not ahead_ms and not is_live():
            known.date_roughly(boot, None)
        known.fix_skew(Skew(boot, clock, 1, at_ms - _latest_ms(known, boot, now_ms)))
    elif is_newest and now_ms - corrected_ms > PUNCTUAL_MS:
        lags = known.lags = _watched(known.lags, boot, clock, newest.seq, now_ms - corrected_ms, now_ms)
        if lags.is_steady and now_ms - lags.since_ms >= STEADY_MS:
            since_seq = lags.since_seq if ahead_ms else 1
            known.fix_skew(Skew(boot, clock, since_seq, ahead_ms - lags.low_ms))
    elif is_newest:
        known.lags = None


def told_at_birth(boot: int, at_ms: int | None, now_ms: int) -> tuple[int, int] | None:
    """(boot, by how much its clock is behind, as a negative number of ms) when no delay of a birth explains it."""
    if at_ms is None or at_ms >= now_ms - AGE_MS_MAX:
        return None
    return boot, at_ms - now_ms


def ahead_at_birth_ms(at_ms: int | None, ahead_ms: int, now_ms: int) -> int:
    """By how much the clock of a birth is ahead: as the readings of its boot told (`ahead_ms`), unless the birth itself
    says our own time, or one that cannot be even so."""
    if at_ms is None:
        return ahead_ms
    if abs(at_ms - now_ms) <= PUNCTUAL_MS:
        return 0
    is_possible = now_ms - AGE_MS_MAX <= at_ms - ahead_ms <= now_ms + PUNCTUAL_MS
    return ahead_ms if is_possible else at_ms - now_ms


def dated_ms(offset_ms: int, device_at_ms: int, now_ms: int) -> int:
    """When a reading was measured that we date: not after it came, whatever the estimate says."""
    return min(offset_ms + device_at_ms, now_ms)


def _latest_ms(known: Known, boot: int, now_ms: int) -> int:
    """When the newest reading at hand of a boot was measured at the latest: before a later boot began, that we know."""
    return min(now_ms, min((offset_ms for later, offset_ms in known.boots.items() if later > boot), default=now_ms))


def _is_unset(known: Known, boot: int, at_ms: int) -> bool:
    return at_ms < UNSET_BEFORE_MS or (known.told is not None and known.told[0] == boot)


def _watched(lags: Lags | None, boot: int, clock: str, seq: int, lag_ms: int, now_ms: int) -> Lags:
    """The watch with one more reading; it begins anew where that is not late by the same time as those before."""
    if lags is not None and (lags.boot, lags.clock) == (boot, clock):
        low_ms, high_ms = min(lags.low_ms, lag_ms), max(lags.high_ms, lag_ms)
        if high_ms - low_ms <= STEADY_WITHIN_MS:
            return lags._replace(low_ms=low_ms, high_ms=high_ms, times=lags.times + 1)
    return Lags(boot, clock, seq, now_ms, lag_ms, lag_ms, 1)


def _at(reading: Dated) -> int:
    return reading.at or 0


CLOCK_BITS: Mapping[str, int] = {
    "synced": int(Quality.GOOD),
    HELD: int(Quality.CLOCK_HELD),
    NO_CLOCK: int(Quality.CLOCK_NONE),
}
"""What a message's `clock` says against the times of its readings."""
