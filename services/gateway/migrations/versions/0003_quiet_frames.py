"""Frames of a camera that showed nothing unusual, for alerts to be held against."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quiet_frames",
        sa.Column("camera_id", sa.String(length=64), nullable=False),
        sa.Column("slot", sa.String(length=16), nullable=False),
        sa.Column("captured_us", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.String(length=256), nullable=False),
        sa.Column("thumbnail", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("camera_id", "slot", name=op.f("pk_quiet_frames")),
    )


def downgrade() -> None:
    op.drop_table("quiet_frames")
