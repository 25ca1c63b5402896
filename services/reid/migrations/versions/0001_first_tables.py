"""The gallery's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.INTEGER(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("stream", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("traceparent", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_position"), ["position"], unique=False)

    op.create_table(
        "outbox_origin",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("born_ms", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_outbox_origin")),
    )
    op.create_table(
        "tracklet_cursors",
        sa.Column("camera_id", sa.String(length=64), nullable=False),
        sa.Column("born", sa.BigInteger(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("waiting_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("camera_id", name=op.f("pk_tracklet_cursors")),
    )
    op.create_table(
        "tracklet_outcomes",
        sa.Column("camera_id", sa.String(length=64), nullable=False),
        sa.Column("born", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("owned", sa.BigInteger(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=True),
        sa.Column("end_us", sa.BigInteger(), nullable=True),
        sa.Column("arrived_us", sa.BigInteger(), nullable=False),
        sa.Column("folded", sa.Boolean(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("camera_id", "born", "seq", name=op.f("pk_tracklet_outcomes")),
    )
    op.create_table(
        "tracklets",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.INTEGER(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("camera_id", sa.String(length=64), nullable=False),
        sa.Column("track_id", sa.String(length=26), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("boxes", sa.JSON(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=False),
        sa.Column("quality", sa.Double(), nullable=False),
        sa.Column("crop", sa.String(length=256), nullable=False),
        sa.Column("person_id", sa.String(length=26), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracklets")),
        sa.UniqueConstraint("name", name=op.f("uq_tracklets_name")),
    )
    with op.batch_alter_table("tracklets", schema=None) as batch_op:
        batch_op.create_index("ix_tracklets_camera_end", ["camera_id", "end_us"], unique=False)
        batch_op.create_index("ix_tracklets_camera_how", ["camera_id", "how"], unique=False)
        batch_op.create_index(batch_op.f("ix_tracklets_person_id"), ["person_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tracklets_revision"), ["revision"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("tracklets", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tracklets_revision"))
        batch_op.drop_index(batch_op.f("ix_tracklets_person_id"))
        batch_op.drop_index("ix_tracklets_camera_how")
        batch_op.drop_index("ix_tracklets_camera_end")

    op.drop_table("tracklets")
    op.drop_table("tracklet_outcomes")
    op.drop_table("tracklet_cursors")
    op.drop_table("outbox_origin")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_position"))

    op.drop_table("outbox")
    op.drop_table("leases")
