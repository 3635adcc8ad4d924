"""What the data world and the training world both say of a dataset, beside the columns in `schemas/dataset.json`."""

from __future__ import annotations

FORMAT = "tawt.dataset/1"
"""What `dataset.json` names as its format."""

SPLITS = ("train", "tuning", "held_out")
"""The splits of MEDS, in the order of their numbers."""

SPECIAL_CODES = ("[PAD]", "[UNK]", "[MASK]", "[CLS]")
"""The data_types 0 to 3 of every vocabulary."""
UNKNOWN = SPECIAL_CODES.index("[UNK]")
THREADS = "threads.json"
"""File of a workspace that keeps how many threads train fastest, so that its runs stay equal bit for bit; sealed."""
