"""Baselines as t-digests: what KLL sketches had learnt is carried over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from alembic import op
from datasketches import kll_floats_sketch, tdigest_float

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

DIGEST_SIZE, SKETCH_SIZE = 200, 400
POINTS = 1_000
MOST_FRAMES = 1_000_000


def upgrade() -> None:
    _convert(_digest_of)
    # Of the short time in which hours and histories were kept as sketches, nothing is carried over.
    op.execute("DELETE FROM baseline_hours")
    op.execute("UPDATE calibrations SET before = NULL")


def downgrade() -> None:
    _convert(_sketch_of)
    op.execute("DELETE FROM baseline_hours")
    op.execute("UPDATE calibrations SET before = NULL")


def _convert(converted: Callable[[bytes], tuple[bytes, int]]) -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT camera_id, context, sketch FROM baselines")).all()
    for camera_id, context, packed in rows:
        sketch, frames = converted(bytes(packed))
        connection.execute(
            sa.text(
                "UPDATE baselines SET sketch = :sketch, frames = :frames"
                " WHERE camera_id = :camera_id AND context = :context"
            ),
            {"sketch": sketch, "frames": frames, "camera_id": camera_id, "context": context},
        )


def _digest_of(packed: bytes) -> tuple[bytes, int]:
    sketch = kll_floats_sketch.deserialize(packed)
    digest = tdigest_float(DIGEST_SIZE)
    digest.update(_learnt(sketch.get_quantile, sketch.n))
    return bytes(digest.serialize()), int(digest.get_total_weight())


def _sketch_of(packed: bytes) -> tuple[bytes, int]:
    digest = tdigest_float.deserialize(packed)
    sketch = kll_floats_sketch(SKETCH_SIZE)
    sketch.update(_learnt(digest.get_quantile, int(digest.get_total_weight())))
    return bytes(sketch.serialize()), int(sketch.n)


def _learnt(quantile: Callable[[float], float], frames: int) -> npt.NDArray[np.float32]:
    """As many errors as were learnt, with the same quantiles."""
    frames = min(frames, MOST_FRAMES)
    if frames == 0:
        return np.empty(0, np.float32)
    points = np.asarray([quantile((n + 0.5) / POINTS) for n in range(POINTS)], np.float32)
    return points[np.arange(frames) * POINTS // frames]
