"""What a workspace remembers of its ingest: where things are on this machine, and what was asked for and found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from tawt.config.base import Section, one_or_more
from tawt.raw.seen import RawSeen, TableSeen


class Local(Section):
    """Where the raw tables and the project are, for this machine only; not part of any artefact."""

    raw_root: str | None = None
    project: str | None = None
    pipeline: str | None = None
    """The name or file of the pipeline that was ingested by."""
    subject_key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """What numbers of subjects whose ids are text hang on."""
    opt_out_key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """What marks of those who asked to be forgotten hang on."""
    files: dict[str, RawSeen] = {}
    """Path below the raw root -> what was seen there."""
    tables: dict[str, TableSeen] = {}
    """Raw table -> what was read of it."""


def sample_of(text: str) -> str:
    """Return a sample, which must be `N` or `P%`.

    Raises:
        ValueError: It is neither.
    """
    number, percent = text.removesuffix("%"), text.endswith("%")
    written = re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?" if percent else r"[0-9]{1,12}", number)
    if not written or not 0 < float(number) <= (100 if percent else float("inf")):
        raise ValueError("is no number of subjects or percentage")
    return text


class Ingested(Section):
    """What the last ingest was asked for and found."""

    sample: Annotated[str, AfterValidator(sample_of)] | None = None
    """`N` or `P%`; None = everything."""
    settings: tuple[str, ...] | None = None
    """Overrides of the pipeline that it was given, and `build-vocab` after it, `key=value`; None = not known."""
    n_shards: int = Field(default=1, ge=1)
    absent_tables: tuple[str, ...] = ()
    """Optional raw tables that were not there."""
    dataset: str | None = None
    """What the raw tables call themselves, where they are a MEDS dataset."""


def laid_on(settings: Sequence[str] | None, more: str | Sequence[str]) -> tuple[str, ...] | None:
    """Return overrides with more of them behind: of one key the last counts. What is not known stays so."""
    if settings is None:
        return None
    by_key: dict[str, str] = {}
    for setting in (*settings, *one_or_more(more)):
        key = setting.partition("=")[0].strip()
        by_key.pop(key, None)
        by_key[key] = setting
    return tuple(by_key.values())
