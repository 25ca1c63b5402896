"""Trainings of cameras' own weights."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trainings",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("camera_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("fps", sa.Double(), nullable=False),
        sa.Column("frames_wanted", sa.BigInteger(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("learning_rate", sa.Double(), nullable=False),
        sa.Column("activate", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("deadline_us", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=True),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("note", sa.String(length=256), nullable=False),
        sa.Column("stop_reason", sa.String(length=256), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("finished_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trainings")),
    )
    with op.batch_alter_table("trainings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_trainings_camera_id"), ["camera_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_trainings_state"), ["state"], unique=False)


def downgrade() -> None:
    op.drop_table("trainings")
