"""The tables of the state database. Times are UTC milliseconds in BigInteger; a migration makes what is written here.

Columns that are asked for by value are columns; what is only carried is JSON text (settings, labels, targets).
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

# The thing in the street, and the facts a technician entered of it.
assets = Table(
    "assets",
    metadata,
    Column("asset", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("commune", String, nullable=False),
    Column("zone", String, nullable=False),
    Column("name", String, nullable=False),
    Column("lat", Float),
    Column("lon", Float),
    Column("settings", Text, nullable=False),
)

# The controller; `asset` is null while it sits on none.
devices = Table(
    "devices",
    metadata,
    Column("device", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("asset", String, ForeignKey("assets.asset"), unique=True),
    Column("registered_at_ms", BigInteger, nullable=False),
)

bindings = Table(
    "bindings",
    metadata,
    Column("binding", Integer, primary_key=True),
    Column("asset", String, ForeignKey("assets.asset"), nullable=False, index=True),
    Column("device", String, ForeignKey("devices.device"), nullable=False, index=True),
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
)

alarms = Table(
    "alarms",
    metadata,
    Column("alarm", String, primary_key=True),
    Column("rule", String, nullable=False),
    Column("device", String, nullable=False),
    Column("asset", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("state", String, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("fired_at_ms", BigInteger),
    Column("resolved_at_ms", BigInteger),
    Column("text", Text, nullable=False),
    Column("because", Text, nullable=False),
    Column("acknowledged_by", String),
    Column("acknowledged_at_ms", BigInteger),
    # Where the asset stood when the alarm arose, and the position of the commit that changed it last.
    Column("commune", String, nullable=False, server_default=""),
    Column("zone", String, nullable=False, server_default=""),
    Column("changed", BigInteger, nullable=False, server_default="0"),
    Index("alarms_by_change", "changed", "alarm"),
    Index("alarms_by_state", "state", "since_ms"),
    Index("alarms_by_asset", "asset", "since_ms"),
    Index("alarms_by_time", "since_ms"),
)

# Intents and what became of each last.
intents = Table(
    "intents",
    metadata,
    Column("intent", String, primary_key=True),
    Column("wish", String, nullable=False, index=True),
    Column("asset", String, nullable=False),
    Column("target", String, nullable=False),
    Column("to", Float, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String, nullable=False),
    Column("decided_at_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
    Column("lease_ms", BigInteger),
    Column("step", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Index("intents_by_asset", "asset", "at_ms"),
    Index("intents_by_time", "at_ms"),
)

# The audit. `number` is the order of writing.
decisions = Table(
    "decisions",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("decision", String, nullable=False, unique=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("asset", String, nullable=False),
    Column("device", String, nullable=False),
    Column("target", String, nullable=False),
    Column("step", String, nullable=False),
    Column("intent", String, nullable=False),
    Column("to", Float),
    Column("until_ms", BigInteger),
    Column("version", BigInteger),
    Column("reason", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("by", String, nullable=False),
    Index("decisions_by_asset", "asset", "number"),
    Index("decisions_by_time", "at_ms"),
)

# The latest lease of each device.
leases = Table(
    "leases",
    metadata,
    Column("device", String, primary_key=True),
    Column("asset", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("code", String, nullable=False),
    Column("targets", Text, nullable=False),
)

# One row each: how far the log has been decided, and the deciders' memory at some position before.
progress = Table(
    "progress",
    metadata,
    Column("only", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("only", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# What pruning dropped, counted since the database was made.
dropped = Table(
    "dropped",
    metadata,
    Column("what", String, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# Whose readings are counted, and how many are stored of each local day (`date.toordinal()`): contract/tally.py.
tally_places = Table(
    "tally_places",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("asset", String, nullable=False),
    Column("device", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("commune", String, nullable=False),
    Column("zone", String, nullable=False),
    Index("tally_places_by_name", "asset", "device", "kind", "commune", "zone", unique=True),
    Index("tally_places_by_device", "device"),
)

tally_days = Table(
    "tally_days",
    metadata,
    Column("day", Integer, primary_key=True),
    Column("place", Integer, ForeignKey("tally_places.place"), primary_key=True),
    Column("stored", BigInteger, nullable=False),
    Index("tally_days_by_place", "place", "day"),
    sqlite_with_rowid=False,
)

# Seqs that are not stored (`closed_ms` is null), or came late.
tally_gaps = Table(
    "tally_gaps",
    metadata,
    Column("device", String, primary_key=True),
    Column("stream", String, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("from_ms", BigInteger),
    Column("to_ms", BigInteger, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("asset", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("commune", String, nullable=False),
    Column("zone", String, nullable=False),
    Index("tally_gaps_by_asset", "asset"),
    Index("tally_gaps_by_opening", "opened_ms"),
    sqlite_with_rowid=False,
)

# How far the stored readings of each stream go.
tally_streams = Table(
    "tally_streams",
    metadata,
    Column("device", String, primary_key=True),
    Column("stream", String, primary_key=True),
    Column("floor", BigInteger, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("heard_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# One row: how far the log has been counted, and when and with which positions of it the count began.
tally_progress = Table(
    "tally_progress",
    metadata,
    Column("only", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("log_first", BigInteger, nullable=False),
    Column("log_last", BigInteger, nullable=False),
)
