"""Users say who is who: changes, what they moved, who was merged into whom."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person_changes",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("to_person", sa.String(length=26), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=500), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("tracklets", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("undone_us", sa.BigInteger(), nullable=True),
        sa.Column("undone_by", sa.String(length=32), nullable=True),
        sa.Column("undone_purpose", sa.String(length=500), nullable=True),
        sa.Column("key", sa.String(length=160), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_changes")),
        sa.UniqueConstraint("key", name=op.f("uq_person_changes_key")),
    )
    op.create_table(
        "changed_persons",
        sa.Column("person_id", sa.String(length=26), nullable=False),
        sa.Column("change_id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "change_id", name=op.f("pk_changed_persons")),
    )
    op.create_table(
        "person_moves",
        sa.Column("change_id", sa.String(length=26), nullable=False),
        sa.Column("tracklet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("from_person", sa.String(length=26), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("change_id", "tracklet_id", name=op.f("pk_person_moves")),
    )
    with op.batch_alter_table("person_moves", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_person_moves_tracklet_id"), ["tracklet_id"])
    op.create_table(
        "merged_persons",
        sa.Column("person_id", sa.String(length=26), nullable=False),
        sa.Column("into_person", sa.String(length=26), nullable=False),
        sa.Column("change_id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_merged_persons")),
    )


def downgrade() -> None:
    op.drop_table("merged_persons")
    op.drop_table("person_moves")
    op.drop_table("changed_persons")
    op.drop_table("person_changes")
