"""What is to be known of the rows of an event part and of texts of a vocabulary, in words: told where a run ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tawt.contracts.cells import SMALL_CELL, told
from tawt.pipeline.manifest import Manifest
from tawt.transforms.losses import warning

FEW_TEXTS = "texts_of_few"
"""Fact of the vocabulary: texts that are no category, for too few have them, their rows, and those of all texts."""
COUNTS = ("without_time", "static_by_condition", "at_its_time", "multiplied", FEW_TEXTS)
"""The facts that are told here."""


def lines_of(manifest: Manifest) -> Iterator[str]:
    """Yield what is no warning: rows that were left out for want of a time, and times taken for want of another."""
    if isinstance(n := manifest.facts.get("without_time"), int):
        yield (
            f"{_few(n)} rows lack their time: left out as `time:missing` (a fact has `null as time`, or says "
            "`true as is_static`)"
        )
    if isinstance(n := manifest.facts.get("static_by_condition"), int):
        yield (
            f"{_few(n)} rows have no time under a condition of the stage: they are static facts, known from the start "
            "(`... as is_static` says it of each row)"
        )
    if at := _counts(manifest, "at_its_time"):
        yield (
            f"available_time taken from time: {_few(at['taken'])} rows, of which {_few(at['unread'])} have a cell for "
            "it that could not be read"
        )
    if of := _counts(manifest, FEW_TEXTS):
        share = f" ({of['rows'] / of['all_rows']:.1%})" if of["rows"] > SMALL_CELL else ""
        yield (
            f"{of['texts']:,} texts have no token of their own, for fewer than {of['below']:,} subjects of train have "
            f"them (`vocabulary.min_category_subjects`): {_few(of['rows'])} of {of['all_rows']:,} values that are "
            f"texts{share}"
        )


def is_void(manifest: Manifest) -> bool:
    """Return whether a stage quarantined all that it was given."""
    return any(one.n_records_in == one.count("quarantine") > 0 for one in manifest.accounts)


def warnings_of(manifest: Manifest, most_lost: float) -> Iterator[str]:
    """Yield what is to be looked at: records that are not read, numbers that lost their use, rows that are known too
    early, or are too many."""
    for account in manifest.accounts:
        if (n := account.count("quarantine")) and 2 * n >= account.n_records_in:
            why = max((one for one in account.routes if one.kind == "quarantine"), key=lambda one: one.n_records).reason
            how_many = "all" if n == account.n_records_in else f"{_few(n)} of"
            yield (
                f"{manifest.stage}: {how_many} {_few(account.n_records_in)} records of {account.driving} are "
                f"quarantined, most by `{why}`: is what its contract and the pipeline say of them right (types, "
                "`format:`, `csv:`)? "
                f"`show {manifest.stage} --quarantine` lists them"
            )
    if (said := warning(manifest.facts, most_lost)) is not None:
        yield said
    if (at := _counts(manifest, "at_its_time")) and at["unread"] > most_lost * at["rows"]:
        yield (
            f"{manifest.stage}: more than {most_lost:.1%} of its rows (`most_lost`) have an available_time that could "
            "not be read, and are known at their time, which may be too early: name its column in `key:` to quarantine "
            "them"
        )
    if many := _counts(manifest, "multiplied"):
        driving = manifest.accounts[0].driving
        others = [name for name in manifest.components.inputs if name != driving] or [driving]
        yield (
            f"{manifest.stage}: {_few(many['records'])} records of {driving} give {_few(many['rows'])} rows, up to "
            f"{many['most']:,} of a code each: does its join with {' or '.join(others)} find several rows for each? "
            "Group what is joined first; `grain` in its contract is checked"
        )
    for account in manifest.accounts:
        for fault in account.faults:
            if fault.reason == "not_finite":
                yield (
                    f"{manifest.stage}: {_few(fault.n_cells)} rows have a `{fault.column}` that is NaN or infinite, "
                    "and are `unparsed`: guard the division, or give null"
                )


def _counts(manifest: Manifest, name: str) -> dict[str, Any]:
    counts = manifest.facts.get(name)
    return counts if isinstance(counts, dict) else {}


def _few(n: int) -> str:
    return told({"": n})[""]
