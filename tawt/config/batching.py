"""How subjects become batches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tawt.config.base import Conflict, Section


class BatchingConfig(Section):
    """Which part of a record is read, and how documents fill a batch."""

    tokens_per_batch: int = Field(default=8192, ge=1, le=1 << 30)
    """Most tokens in a packed batch."""
    max_length: int = Field(default=1024, ge=1, le=1 << 30)
    """Most tokens of one document: its statics, then a window of its timed triplets."""
    window: Literal["last", "random", "sliding"] = "random"
    """Which window of a longer record is a document: the one at its end, one drawn anew each epoch, or all of them
    side by side, each a document of its own."""
    order: Literal["drawn", "by_type"] = "drawn"
    """Order of simultaneous triplets, which tells nothing: of chance, as shards have it, or of their data_types, in
    which one is predicted after the other."""
    prefetch: int = Field(default=4, ge=1, le=1024)
    """Batches made ahead by the background thread."""

    @model_validator(mode="after")
    def _a_document_fits(self) -> BatchingConfig:
        if self.max_length > self.tokens_per_batch:
            said = f"max_length {self.max_length} exceeds tokens_per_batch {self.tokens_per_batch}"
            raise Conflict(said, "max_length", "tokens_per_batch")
        return self
