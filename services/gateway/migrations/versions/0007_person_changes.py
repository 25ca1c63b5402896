"""Sightings that users confirmed or that were forgotten, persons who are somebody else."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sightings", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("confirmed", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.add_column(
            sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0")
        )
    op.create_table(
        "forgotten_sightings",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forgotten_sightings")),
    )
    op.create_table(
        "merged_persons",
        sa.Column("person_id", sa.String(length=26), nullable=False),
        sa.Column("into_person", sa.String(length=26), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_merged_persons")),
    )


def downgrade() -> None:
    op.drop_table("merged_persons")
    op.drop_table("forgotten_sightings")
    with op.batch_alter_table("sightings", schema=None) as batch_op:
        batch_op.drop_column("revision")
        batch_op.drop_column("confirmed")
