"""Stored vectors of people -> codes of 16 to 256 bits learnt together, for the gallery's searches.

python -m services.reid.training.hashing --database URL --model NAME [--out FOLDER]
"""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import typer
from sqlalchemy import func, select

from services.reid.gallery.codes import BITS, Coder, codes_file, save_coder
from services.reid.gallery.tables import TrackletRow
from services.reid.models.nested_hashing import NestedHashing, nested_loss
from shared.database import Database
from shared.errors import CityBrainError, Missing
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from services.reid.gallery.gallery import Vectors

LENGTHS = (16, 32, 64, 128, 256)
ENOUGH = 2_000
"""Vectors below which nothing is learnt: codes serve large galleries only."""

cli = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)


def learn_nested(
    vectors: Vectors, *, steps: int = 600, batch: int = 256, rate: float = 2e-3, seed: int = 0
) -> Coder:
    """vectors: (N, 256), of unit length. Begins at the principal axes, which order the bits."""
    torch.manual_seed(seed)
    mean = vectors.mean(axis=0)
    centred = torch.from_numpy(vectors - mean)
    _, axes = torch.linalg.eigh(centred.T @ centred)
    network = NestedHashing(_spread(axes.flip(1)))
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        # A batch of strangers has few near pairs: half of it are neighbours in the store.
        start = torch.randint(len(centred) - batch // 2, (1,)).item()
        rows = torch.randint(len(centred), (batch,))
        rows[: batch // 2] = torch.arange(batch // 2) + int(start)
        picked = centred[rows]
        unit = torch.nn.functional.normalize(picked, dim=1)
        loss = nested_loss(network(picked), unit @ unit.T, LENGTHS)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    projection = torch.nn.functional.normalize(network.projection.detach(), dim=0)
    return Coder(mean, projection.numpy().astype(np.float32))


def _spread(axes: torch.Tensor) -> torch.Tensor:
    """Turns the axes of each prefix among themselves: the sign of a strong axis alone tells less
    than that of a mixture."""
    generator = torch.Generator().manual_seed(1)
    start, turned = 0, []
    for length in LENGTHS:
        size = length - start
        turn = torch.linalg.qr(torch.randn(size, size, generator=generator))[0]
        turned.append(axes[:, start:length] @ turn)
        start = length
    return torch.cat(turned, dim=1)


async def stored_vectors(url: str, model_digest: str, limit: int) -> Vectors:
    """Vectors of known people, (N, 256), evenly chosen, at most so many, a person's one after the
    other."""
    database = Database(url)
    try:
        async with database.reading() as session:
            own = TrackletRow.model_digest == model_digest
            known = TrackletRow.person_id.is_not(None)
            count = await session.scalar(select(func.count()).where(own, known)) or 0
            every = max(1, -(-count // limit))
            query = (
                select(TrackletRow.vector)
                .where(own, known, TrackletRow.id % every == 0)
                .order_by(TrackletRow.person_id, TrackletRow.id)
                .limit(limit)
            )
            found = list(await session.scalars(query))
    finally:
        await database.close()
    return np.frombuffer(b"".join(found), "<f2").reshape(-1, BITS).astype(np.float32)


@cli.command()
def learn(
    database: Annotated[str, typer.Option(help="URL of the re-ID service's database")],
    model: Annotated[str, typer.Option(help="Whose vectors")] = "msp-cnn",
    models: Annotated[Path, typer.Option(help="The model store")] = Path("models"),
    out: Annotated[Path, typer.Option(help="The gallery's folder")] = Path(".citybrain/gallery"),
    limit: Annotated[int, typer.Option(help="Vectors to learn from")] = 50_000,
) -> None:
    """Learns codes and puts them where the gallery looks for them at its next start."""
    digest = ModelStore(models).load(model).digest
    vectors = asyncio.run(stored_vectors(database, digest, limit))
    if len(vectors) < ENOUGH:
        raise Missing(f"{len(vectors)} vectors of {model} are too few; {ENOUGH} are needed")
    path = codes_file(out, digest)
    save_coder(path, learn_nested(vectors))
    print(f"learnt codes of {LENGTHS} bits from {len(vectors)} vectors: {path}")


if __name__ == "__main__":
    try:
        cli()
    except CityBrainError as error:
        raise SystemExit(f"error: {error}") from error
