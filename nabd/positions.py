"""Do the files of a data folder fit together? Looked at before anything is read or written.

What a consumer has read may be cut from the log. So a consumer's file that is gone, or older than the log's first
entry, cannot be made again from the log.
"""

from collections.abc import Mapping
from pathlib import Path

from contract.ports import Log
from nabd.fault import Refused

RESTORE = "restore all files of the data folder from one backup (nabd data restore)"
ALONE = 'without a backup see docs/deploy.md, "When there is no backup"'


def log_begins(log: Log) -> int:
    """The position of the first entry that can be read of it, or will be."""
    entries = log.read(0, 1)
    return entries[0].position if entries else log.last() + 1


def check_state_there(file: Path, log: Log) -> None:
    """Before the state is opened, which would make a new one. Raises Refused."""
    first = log_begins(log)
    if first > 1 and not file.exists():
        raise Refused(
            f"{file}: is missing, and log.db begins at {first}: registrations, alarms, leases and the audit before "
            f"that are nowhere else; {RESTORE}; {ALONE}"
        )


def check_positions(folder: Path, log: Log, positions: Mapping[str, int]) -> None:
    """File → how far it has read the log. Raises Refused.

    A log that is behind its consumers is another log: what it gets now would be passed over in silence. One that begins
    behind the state would leave a hole in what is decided.
    """
    for name, position in positions.items():
        if position > log.last():
            raise Refused(
                f"{folder / name}: has read the log up to {position}, but log.db ends at {log.last()}; restore all "
                "files of the data folder from one backup, or start a new folder"
            )
    first, state = log_begins(log), positions["state.db"]
    if first > state + 1:
        raise Refused(
            f"{folder / 'state.db'}: has read the log up to {state}, but log.db begins at {first}: registrations, "
            f"alarms and leases between are nowhere else; {RESTORE}; {ALONE}"
        )
