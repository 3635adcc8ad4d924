"""How data_types are indexed and normalized: the section `vocabulary` of a pipeline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tawt.config.base import Section

Normalization = Literal["zscore", "robust", "quantile", "none"]
MAX_BINS = 1000
"""Most quantile bins of a data_type."""


class VocabularyConfig(Section):
    """How data_types are indexed and their values normalized."""

    min_count: Annotated[int, Field(ge=1)] = 1
    """Rows in train below which a code is read as [UNK]."""
    min_subjects: Annotated[int, Field(ge=1)] = 1
    """Subjects in train below which a code is read as [UNK]; 11 where codes can be what somebody wrote."""
    n_bins: Annotated[int, Field(ge=2, le=MAX_BINS)] = 10
    """Quantile bins per numeric data_type."""
    max_categories: Annotated[int, Field(ge=1)] = 30
    """Most frequent texts of a data_type that get a token; the others share OTHER."""
    min_category_subjects: Annotated[int, Field(ge=1)] = 11
    """Subjects in train below which a text gets none, for it can be what was written of one of them; 1 = all may."""
    normalization: Normalization = "zscore"
    """Default for every data_type with numbers."""
