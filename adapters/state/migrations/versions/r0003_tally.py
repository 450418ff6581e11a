"""Readings are counted by place and local day, and the gaps between them are kept with their times."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("tally_days", "tally_places", "tally_gaps", "tally_streams", "tally_progress")
PLACE = ("asset", "device", "kind", "commune", "zone")


def _texts(*names: str, key: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False, primary_key=key) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "tally_places",
        sa.Column("place", sa.Integer(), nullable=False, primary_key=True),
        *_texts(*PLACE),
    )
    op.create_index("tally_places_by_name", "tally_places", list(PLACE), unique=True)
    op.create_index("tally_places_by_device", "tally_places", ["device"], unique=False)
    op.create_table(
        "tally_days",
        sa.Column("day", sa.Integer(), nullable=False, primary_key=True),
        sa.Column("place", sa.Integer(), sa.ForeignKey("tally_places.place"), nullable=False, primary_key=True),
        *_numbers("stored"),
        sqlite_with_rowid=False,
    )
    op.create_index("tally_days_by_place", "tally_days", ["place", "day"], unique=False)
    op.create_table(
        "tally_gaps",
        *_texts("device", "stream", key=True),
        sa.Column("first", sa.BigInteger(), nullable=False, primary_key=True),
        *_numbers("last"),
        sa.Column("from_ms", sa.BigInteger(), nullable=True),
        *_numbers("to_ms", "opened_ms"),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        *_texts("asset", "kind", "commune", "zone"),
        sqlite_with_rowid=False,
    )
    op.create_index("tally_gaps_by_asset", "tally_gaps", ["asset"], unique=False)
    op.create_index("tally_gaps_by_opening", "tally_gaps", ["opened_ms"], unique=False)
    op.create_table(
        "tally_streams",
        *_texts("device", "stream", key=True),
        *_numbers("floor", "next_seq", "last_ms", "began_ms", "heard_ms"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tally_progress",
        sa.Column("only", sa.Integer(), nullable=False, primary_key=True),
        *_numbers("position", "began_ms", "log_first", "log_last"),
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
