"""What people do with the quarantine, brought to the room that can: ingest, or the store that had refused something."""

import asyncio
from collections.abc import Sequence

import msgspec

from adapters.stores.sifting import is_never_held
from contract.ports import Clock, Log, Store, StoreFault
from contract.quarantine import STORE_REFUSED, Quarantined, Replayed, Retaker, Settled
from contract.records import QuarantineAct
from ingest.service import IngestService


class Quarantining:
    """Implements console.platform.QuarantineActs. One act at a time: a store is given a row outside of the log's
    transaction, and whoever dropped it meanwhile would name as gone what the store has then."""

    def __init__(self, ingest: IngestService, log: Log, store: Store, clock: Clock) -> None:
        self._ingest, self._log, self._clock = ingest, log, clock
        self._store = store
        self._turn = asyncio.Lock()

    async def replay(self, numbers: Sequence[int], by: str) -> Sequence[Replayed]:
        async with self._turn:
            rows = await asyncio.to_thread(self._log.quarantine_rows.rows, numbers)
            never = [row for row in rows if is_never_held(row)]
            refused = [row for row in rows if row.code == STORE_REFUSED and not is_never_held(row)]
            others = [row.number for row in rows if row.code != STORE_REFUSED]
            told = list(await self._ingest.replay(others, by)) if others else []
            told += [_stays(row, f"{row.sentence}; drop it: a metric never changes its type") for row in never]
            if refused:
                told += await asyncio.to_thread(self._offer, refused, by)
        return sorted(told, key=lambda one: one.number)

    async def drop(self, numbers: Sequence[int], by: str) -> int:
        async with self._turn:
            rows = await asyncio.to_thread(self._log.quarantine_rows.rows, numbers)
            # Without such a store it was another that refused the line, and that of now has the reading.
            retakes = isinstance(self._store, Retaker)
            lacking = {row.number for row in rows if row.code == STORE_REFUSED and (retakes or is_never_held(row))}
            return await self._ingest.drop(numbers, by, lacking)

    def _offer(self, rows: Sequence[Quarantined], by: str) -> list[Replayed]:
        """To the store once more: their readings are in the log and count as accepted, only the store lacks them.

        The store first, then the row: a crash between the two offers the same line again, which changes nothing.
        """
        if not isinstance(self._store, Retaker):
            sentence = (
                "another store refused it; the store of now has it, if the log still held it when that store began"
            )
            return [_stays(row, sentence) for row in rows]
        now_ms = self._clock.now_ms()
        try:
            told = self._store.again([row.payload for row in rows], now_ms)
        except StoreFault as fault:  # no error of the act: what ingest has stored beside them is stored
            return [_stays(row, f"the store cannot be used: {fault}") for row in rows]
        settled = [
            Settled(row.number, msgspec.structs.replace(row, sentence=sentence) if sentence else None)
            for row, sentence in zip(rows, told, strict=True)
        ]
        stored = told.count("")
        devices = ", ".join(sorted({row.device for row in rows})[:5])
        act = QuarantineAct(act="replay", rows=len(rows), readings=stored, by=by, what=f"{devices}: {STORE_REFUSED}")
        self._log.append([act], now_ms, settled=settled, counts={"store_refused_stored": stored})
        return [
            _stays(row, sentence)
            if sentence
            else Replayed(number=row.number, device=row.device, readings=1, stays=False, sentence="stored")
            for row, sentence in zip(rows, told, strict=True)
        ]


def _stays(row: Quarantined, sentence: str) -> Replayed:
    return Replayed(number=row.number, device=row.device, stays=True, code=row.code, sentence=sentence)
