"""A model's card -> what its similarities mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.reid.core.identity import Belief

if TYPE_CHECKING:
    from shared.model_store import ModelCard

UNCALIBRATED = Belief(slope=12.0, offset=-7.0)
"""For cards without a calibration: even odds at a cosine of 0.58 (ours)."""


def belief_of(card: ModelCard) -> Belief:
    """The card's logistic, or ours where it has none."""
    if card.identity is None:
        return UNCALIBRATED
    return Belief(card.identity.slope, card.identity.offset)
