"""Examples filled up to a few fixed sizes, so that what was captured of one can be replayed with another.

What is added lies in documents of its own behind the others: statics without value, or none. Lists of positions are
filled up with places whose truth is not asked for. So losses and gradients are those of the example as it was.

The sizes are a pure function of the first examples of a run and of the example itself, not of what came before: dropout
draws by shape, and a run that is resumed must draw alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.batching.example import (
    NO_CLASS,
    NOT_ASKED,
    Example,
    ForecastTargets,
    LabelTargets,
    MaskedTargets,
    NextTargets,
)
from tawt.batching.layout import Layout

ADDED = -1
"""The subject of a document that is added."""
ROOM = 1.25
"""Lists have room for so many times what the longest of the first examples has."""
LONGEST = 64
"""Tokens of a document that is added: of more it would cost attention more than a tile."""
WHOLE = 128
"""Triplets come in multiples of this, as tiles of attention do."""
_LISTS = ("type", "value", "token", "category", "status", "summary")
_NEXT = {
    "steps": ("step_at", "step_is", "step_timed", "step_least", "step_ages"),
    "events": (
        "before", "step", "gap_hours", "minute", "type_is", "type_least", "type_weight", "type_ages",
        "status_is", "last", "age_hours",
    ),
    "gaps": ("gap_at", "gap_is", "gap_begins", "gap_ends", "gap_marks", "gap_came", "gap_ages"),
    "numbers": ("number_at", "number_low", "number_high", "number_last", "number_level", "number_others"),
    "named": ("category_at", "category_is"),
    "later": ("later_at", "later_hours", "later_came"),
}  # fmt: skip
"""Lists of the next event, and the columns of each."""


@dataclass(frozen=True)
class Sizes:
    """To whose multiples each size of an example is filled up."""

    triplets: int
    step: int
    """Of tokens, where they are fewer than triplets."""
    documents: int
    lists: dict[str, int]
    """Of the lists of positions by name; of the logits of categories as `logits`."""


def sizes_of(examples: Sequence[Example], budget: int, step: int) -> Sizes:
    """Return sizes that most examples of a run fit into.

    Args:
        examples: Its first ones.
        budget: Most triplets of an example.
        step: To whose multiple tokens are filled up, where they are fewer than triplets.
    """
    layouts = [example.batch.layout for example in examples]
    documents = max(layout.n_documents for layout in layouts if layout is not None)
    lists: dict[str, int] = {}
    for example in examples:
        for name, length in _lengths(example).items():
            lists[name] = max(lists.get(name, 1), length)
    most = {name: _room(length) for name, length in lists.items()}
    return Sizes(_up(budget, WHOLE), step, _room(documents), most)


def filled(example: Example, sizes: Sizes) -> Example:
    """Return an example that is filled up; counts, baselines and `n_tokens` stay those of what is real in it.

    Args:
        example: On the host, with its layout made and without the block mask of FlexAttention.
        sizes: See `sizes_of`.
    """
    layout = example.batch.layout
    assert layout is not None and layout.blocks is None and example.view_of is None
    t, d, n = layout.n_tokens, layout.n_documents, _up(example.batch.n_tokens, sizes.triplets)
    n_tokens = n if layout.token_of is None else _up(t, sizes.step)
    n_documents = _up(d + -(-(n_tokens - t) // LONGEST), sizes.documents)
    # a [CLS] token has its document, and a triplet that is added its token
    while layout.token_of is not None and n_tokens - t < max(1, n_documents - d):
        n_tokens += sizes.step
        n_documents = _up(d + -(-(n_tokens - t) // LONGEST), sizes.documents)
    if n_documents == d and n_tokens > t:
        n_documents += sizes.documents
    new = _fill_layout(layout, n_tokens, n_documents)
    if layout.token_of is not None:
        new = replace(new, token_of=torch.cat((layout.token_of, t + _dealt(n - len(layout.token_of), n_tokens - t))))
    batch = replace(_fill_batch(example.batch, n, n_documents), cu_seqlens=new.cu_seqlens, layout=new)
    masked, ahead, label = example.masked, example.forecast, example.label
    return replace(
        example,
        batch=batch,
        masked=None if masked is None else _fill_masked(masked, sizes),
        forecast=None if ahead is None else _fill_forecast(ahead, sizes),
        next=None if example.next is None else _fill_next(example.next, sizes),
        label=None
        if label is None
        else LabelTargets(*(_longer(x, n_documents) for x in (label.truth, label.weight, label.facts))),
    )


def _fill_layout(layout: Layout, n_tokens: int, n_documents: int) -> Layout:
    t, d = layout.n_tokens, layout.n_documents
    document = d + _dealt(n_tokens - t, n_documents - d)
    ends = t + torch.searchsorted(document, torch.arange(d, n_documents), right=True)  # some are empty
    return replace(
        layout,
        hours=_longer(layout.hours, n_tokens),
        is_static=_longer(layout.is_static, n_tokens, True),
        age_hours=_longer(layout.age_hours, n_tokens),
        gap_hours=_longer(layout.gap_hours, n_tokens),
        cu_seqlens=torch.cat((layout.cu_seqlens, ends.int())),
        bounds=(*layout.bounds, *ends.tolist()),
        document=torch.cat((layout.document, document)),
        cls_at=None if layout.cls_at is None else torch.cat((layout.cls_at, torch.tensor([t]), ends[:-1])),
    )


def _fill_batch(batch: PackedBatch, n: int, d: int) -> PackedBatch:
    of_triplets = ("data_type", "value", "value_token", "value_status", "hours", "gap_hours")
    of_documents = ("clock_hours", "end_hours", "end_time")
    changes: dict[str, Any] = {name: _longer(getattr(batch, name), n) for name in of_triplets}
    changes |= {name: _longer(getattr(batch, name), d) for name in of_documents}
    changes["subject_id"] = _longer(batch.subject_id, d, ADDED)
    changes |= {"is_static": _longer(batch.is_static, n, True), "type_gap_hours": _longer(batch.type_gap_hours, n, -1)}
    return replace(batch, **changes)


def _fill_masked(targets: MaskedTargets, sizes: Sizes) -> MaskedTargets:
    changes: dict[str, Any] = {}
    added = 0
    for name in _LISTS:
        truth: Tensor = getattr(targets, f"{name}_is")
        # one more at least where logits are ragged: the last position takes what is too many
        size = _up(len(truth) + (name == "category"), sizes.lists[name])
        changes[f"{name}_at"] = _longer(getattr(targets, f"{name}_at"), size)
        changes[f"{name}_is"] = _longer(truth, size, NOT_ASKED if truth.is_floating_point() else NO_CLASS)
        if name != "type":
            changes[f"{name}_type"] = _longer(getattr(targets, f"{name}_type"), size)
        added = size - len(truth) if name == "category" else added
    return replace(targets, **changes, n_categories=_up(targets.n_categories + added, sizes.lists["logits"]))


def _fill_forecast(targets: ForecastTargets, sizes: Sizes) -> ForecastTargets:
    a, b = (_up(len(x), sizes.lists[name]) for x, name in ((targets.document, "cut"), (targets.value_is, "ahead")))
    return ForecastTargets(
        document=_longer(targets.document, a),
        present=_longer(targets.present, a, NOT_ASKED),
        value_row=_longer(targets.value_row, b),
        value_column=_longer(targets.value_column, b),
        value_is=_longer(targets.value_is, b, NOT_ASKED),
    )


def _fill_next(targets: NextTargets, sizes: Sizes) -> NextTargets:
    changes: dict[str, Any] = {}
    added = 0
    for name, columns in _NEXT.items():
        length = len(getattr(targets, columns[0]))
        size = _up(length + (name == "named"), sizes.lists[name])
        added = size - length if name == "named" else added
        for column in columns:
            truth: Tensor = getattr(targets, column)
            asked = column.endswith(("_is", "_low", "_high"))
            fill = 0 if not asked else NOT_ASKED if truth.is_floating_point() else NO_CLASS
            changes[column] = _longer(truth, size, fill)
    return replace(targets, **changes, n_categories=_up(targets.n_categories + added, sizes.lists["following"]))


def _lengths(example: Example) -> dict[str, int]:
    found: dict[str, int] = {}
    if (masked := example.masked) is not None:
        found |= {name: len(getattr(masked, f"{name}_is")) for name in _LISTS}
        # a category that is added has one logit
        found["logits"] = masked.n_categories + _room(found["category"])
    if (following := example.next) is not None:
        found |= {name: len(getattr(following, columns[0])) for name, columns in _NEXT.items()}
        found["following"] = following.n_categories + _room(found["named"])
    if (ahead := example.forecast) is not None:
        found |= {"cut": len(ahead.document), "ahead": len(ahead.value_is)}
    return found


def _room(n: int) -> int:
    return max(8, int(n * ROOM))


def _up(n: int, unit: int) -> int:
    return max(1, -(-n // unit)) * unit


def _dealt(n: int, among: int) -> Tensor:
    """Deal `n` places out evenly: `(n,)` int64, ascending."""
    return torch.arange(n) * among // max(n, 1)


def _longer(x: Tensor, n: int, fill: float = 0) -> Tensor:
    out = x.new_full((n, *x.shape[1:]), fill)
    out[: len(x)] = x
    return out
