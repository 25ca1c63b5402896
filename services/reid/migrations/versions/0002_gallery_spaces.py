"""Vectors in other spaces, tombstones, re-indexing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "forgotten",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tracklet_id", sa.BigInteger(), nullable=False),
        sa.Column("crop", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_forgotten")),
    )
    op.create_table(
        "tracklet_vectors",
        sa.Column("tracklet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tracklet_id", "model_digest", name=op.f("pk_tracklet_vectors")),
    )
    op.create_table(
        "reindexes",
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("embedded", sa.BigInteger(), nullable=False),
        sa.Column("switches", sa.Boolean(), nullable=False),
        sa.Column("fault", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_reindexes")),
    )


def downgrade() -> None:
    op.drop_table("reindexes")
    op.drop_table("tracklet_vectors")
    op.drop_table("forgotten")
