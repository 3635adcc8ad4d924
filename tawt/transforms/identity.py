"""The identity of a triplet: a random number, and its place among simultaneous ones.

It is made of whose the triplet is, what and when, so it is the same in whatever order simultaneous rows came. Equal
ones are numbered, so that they differ too: were they drawn alike, a visible one would tell what a hidden one is not.
Rows of a moment stand in the order of their identities, so that any part of them is a draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tawt.arrays import Words
from tawt.chance import draw

CONTENT = ("subject_id", "timestamp", "available_time", "data_type", "value", "value_token", "value_status")
"""What a triplet is, in the order in which its columns are mixed."""
_32 = np.uint64(32)

Columns = dict[str, npt.NDArray[Any]]


def identities(*content: npt.NDArray[np.generic]) -> Words:
    """Return the identity of each of `n` triplets, `(n,)`; shards hold its upper half.

    Args:
        content: `(n,)` each, columns that tell what a triplet is.
    """
    words: Words = np.zeros(len(content[0]), dtype=np.uint64)
    for column in content:
        bits = column.view(np.uint32) if column.dtype == np.float32 else column
        words = draw(words ^ bits.astype(np.uint64))
    ordered = np.sort(words)
    twins = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twins):
        at = np.flatnonzero(np.isin(words, twins))
        at = at[np.argsort(words[at], kind="stable")]
        first = np.flatnonzero(np.append(True, words[at][1:] != words[at][:-1]))
        number = np.arange(len(at)) - np.repeat(first, np.diff(first, append=len(at)))
        again = at[number > 0]
        words[again] = draw(words[again] ^ draw(number[number > 0].astype(np.uint64)))
    return words


def arranged(columns: Columns, static: npt.NDArray[np.bool_]) -> Columns:
    """Return the columns of a shard with `identity`, the rows of each moment in its order.

    Args:
        columns: Those of `CONTENT`, `(n,)` each, sorted by subject and time, statics first.
        static: `(n,)`, which rows are; those of a subject are one moment.
    """
    words = identities(*(columns[name] for name in CONTENT))
    of_moment = (columns["subject_id"], static, columns["timestamp"])
    opens = np.zeros(len(words), dtype=np.bool_)
    for column in of_moment:
        opens[1:] |= column[1:] != column[:-1]
    identity = words >> _32
    order = np.argsort(np.cumsum(opens).astype(np.uint64) << _32 | identity, kind="stable")
    columns = columns | {"identity": identity.astype(np.uint32)}
    return {name: column[order] for name, column in columns.items()}
