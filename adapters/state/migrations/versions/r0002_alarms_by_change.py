"""Alarms know where their asset stood and which commit changed them last, so that they can be followed elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PLACES = """
UPDATE alarms SET commune = assets.commune, zone = assets.zone FROM assets WHERE assets.asset = alarms.asset
"""


def upgrade() -> None:
    """Alarms from before are given the place of their asset as it is known now, and the change 0: all are older."""
    op.add_column("alarms", sa.Column("commune", sa.String(), nullable=False, server_default=""))
    op.add_column("alarms", sa.Column("zone", sa.String(), nullable=False, server_default=""))
    op.add_column("alarms", sa.Column("changed", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("alarms_by_change", "alarms", ["changed", "alarm"], unique=False)
    op.execute(PLACES)


def downgrade() -> None:
    op.drop_index("alarms_by_change", table_name="alarms")
    with op.batch_alter_table("alarms") as alarms:
        for column in ("commune", "zone", "changed"):
            alarms.drop_column(column)
