"""Holds the map of subjects whose ids are text to what was made by it."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from tawt.quality.finding import Finding
from tawt.readers import read_parquet
from tawt.sources.stage import Input


def check_subjects(subjects: Input, events: Input) -> Finding:
    """Look whether every id has one number, and every subject of events is in the map."""
    rows = read_parquet(subjects.rows[0], ["id", "subject_id"], subjects.make_again)
    numbers = rows["subject_id"].to_numpy()
    twice = 2 * len(rows) - len(np.unique(numbers)) - pc.count_distinct(rows["id"]).as_py()
    met = [np.unique(read_parquet(path, ["subject_id"], events.make_again)["subject_id"]) for path in events.rows]
    everyone = np.unique(np.concatenate([np.array([], np.int64), *met]))
    unknown = int(np.count_nonzero(~np.isin(everyone, numbers)))
    detail = f"{unknown:,} of {len(everyone):,} subjects of events are not in the map, {twice:,} entries of it twice"
    return Finding("subjects", not twice and not unknown, detail)
