"""A model's card -> whether a camera's own footage can tune it: asked before anything is recorded,
and again before anything is learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import Conflict

if TYPE_CHECKING:
    from shared.model_store import ModelCard


def check_tunable(card: ModelCard) -> None:
    """Raises Conflict (`not_trainable`). What is recorded is gray, and the trainer's STAE takes
    plain pixels."""
    sees = card.input
    if sees.colour != "gray" or sees.mean != (0.0,) or sees.std != (1.0,):
        raise Conflict(
            f"{card.name} sees {sees.colour} pictures, normalised by {sees.mean} and {sees.std};"
            " only STAE on plain gray frames can be fine-tuned here: activate such a model for the"
            " camera first, as stae-city is (POST /v1/models/activations)",
            code="not_trainable",
        )
