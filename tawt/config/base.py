"""The base of every config section: frozen, strict about names, described by its attribute docstrings."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen branch of a config tree; an unknown key is an error, a field's docstring is its description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=(), allow_inf_nan=False
    )


class Conflict(ValueError):
    """Keys of a section that do not fit together.

    Args:
        said: What does not fit.
        keys: Those that were compared, as seen from the section.
    """

    def __init__(self, said: str, *keys: str) -> None:
        super().__init__(said)
        self.keys = keys


def one_or_more(texts: str | Iterable[str]) -> tuple[str, ...]:
    """Return texts; one by itself is meant as one, not as its letters."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


def is_pattern(text: str) -> str:
    """Return a regular expression that means one thing, to the next Python too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(text)
    except (re.error, OverflowError, RecursionError, FutureWarning):
        raise ValueError("a regular expression") from None
    return text
