"""Augmentations: how much of each, 0 = none."""

from __future__ import annotations

from pydantic import Field

from tawt.config.base import Section


class AugmentConfig(Section):
    """What may happen to a document, each a pure function of (batch, seed); 0 leaves it out."""

    variable_dropout: float = Field(0.0, ge=0, lt=1)
    """Chance of each data_type of a document to lose all its triplets."""
    event_dropout: float = Field(0.0, ge=0, lt=1)
    """Largest chance of a document's timed triplets to be removed; the chance is uniform between 0 and this."""
    crop: float = Field(0.0, ge=0, lt=1)
    """Largest share of a document's moments that are cut off at its ends; the rest is contiguous, the prediction time
    stays."""
    jitter: float = Field(0.0, ge=0, le=100)
    """Standard deviation of the noise on each number, in units of the normalized value."""
    scaling: float = Field(0.0, ge=0, le=100)
    """Standard deviation of the logarithm of one factor per document and data_type on its normalized numbers."""
    time_warp: float = Field(0.0, ge=0, lt=1)
    """Largest relative change of a gap between events, smooth along the document; order is kept. Mild, or the signal
    that is to be learned is gone."""
