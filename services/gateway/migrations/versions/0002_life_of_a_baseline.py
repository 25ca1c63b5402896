"""Sketches by hour, thresholds of calibrations and their history; a camera's own rule and budget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("cameras", schema=None) as batch_op:
        batch_op.add_column(sa.Column("time_zone", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("alarm_rule", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("alert_budget_per_day", sa.Double(), nullable=True))
    with op.batch_alter_table("baselines", schema=None) as batch_op:
        batch_op.add_column(sa.Column("scoring", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("prior", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("open_score", sa.Double(), nullable=True))
    with op.batch_alter_table("score_outcomes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("context", sa.String(length=64), nullable=True))
    op.create_table(
        "baseline_hours",
        sa.Column("camera_id", sa.String(length=64), nullable=False),
        sa.Column("context", sa.String(length=64), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("camera_id", "context", "hour", name=op.f("pk_baseline_hours")),
    )
    op.create_table(
        "calibrations",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("camera_id", sa.String(length=64), nullable=False),
        sa.Column("context", sa.String(length=64), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("excluded", sa.JSON(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("days", sa.Double(), nullable=False),
        sa.Column("budget_per_day", sa.Double(), nullable=False),
        sa.Column("open_score", sa.Double(), nullable=False),
        sa.Column("open_score_before", sa.Double(), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("before", sa.LargeBinary(), nullable=True),
        sa.Column("undone_us", sa.BigInteger(), nullable=True),
        sa.Column("undone_by", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibrations")),
    )
    with op.batch_alter_table("calibrations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_calibrations_camera_id"), ["camera_id"], unique=False)
    # Older clips do not say with what they were scored. Where a camera has known one context only,
    # there is no doubt.
    op.execute(
        "UPDATE score_outcomes SET context = (SELECT min(baselines.context) FROM baselines"
        " WHERE baselines.camera_id = score_outcomes.camera_id)"
        " WHERE timeline IS NOT NULL AND (SELECT count(*) FROM baselines"
        " WHERE baselines.camera_id = score_outcomes.camera_id) = 1"
    )


def downgrade() -> None:
    op.drop_table("calibrations")
    op.drop_table("baseline_hours")
    with op.batch_alter_table("score_outcomes", schema=None) as batch_op:
        batch_op.drop_column("context")
    with op.batch_alter_table("baselines", schema=None) as batch_op:
        batch_op.drop_column("open_score")
        batch_op.drop_column("prior")
        batch_op.drop_column("scoring")
    with op.batch_alter_table("cameras", schema=None) as batch_op:
        batch_op.drop_column("alert_budget_per_day")
        batch_op.drop_column("alarm_rule")
        batch_op.drop_column("time_zone")
