"""What the data world and the training world both say of a dataset, beside the columns in `schemas/dataset.json`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tawt.config.base import Section

DATASET = "dataset.json"
"""Manifest of a dataset, in its folder."""
FORMAT = "tawt.dataset/2"
"""What the manifest names as its format."""

SPLITS = ("train", "tuning", "held_out")
"""The splits of MEDS, in the order of their numbers."""

SPECIAL_CODES = ("[PAD]", "[UNK]", "[MASK]", "[CLS]")
"""The data_types 0 to 3 of every vocabulary."""
US_PER_HOUR = 3_600_000_000
"""Times are whole microseconds."""
UNKNOWN = SPECIAL_CODES.index("[UNK]")
BIRTH = "MEDS_BIRTH"
"""The code of the event that `time_origin: birth` counts from."""
VOCABULARY = "vocabulary.parquet"
"""File of a run, a shared model or the stage of its name that lists the data_types."""
THREADS = "threads.json"
"""File of a workspace that keeps how many threads train fastest, so that its runs stay equal bit for bit; sealed."""

Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ShardEntry(Section):
    """One shard of a split."""

    shard: Name
    """Its files are `SPLIT/SHARD.arrow` and `SPLIT/SHARD.index.arrow`."""
    n_subjects: Count
    """Rows of its index."""
    n_triplets: Count
    """Its rows."""
    n_bytes: Count
    """Size of its rows' file."""
    sha256: Sha256
    """Of its rows' file."""
    index_sha256: Sha256
    """Of its index's."""


class DatasetManifest(Section):
    """What the manifest, which is sealed, says of the files beside it: a dataset is known by their hashes."""

    format: str
    """`FORMAT`, or another one that nothing here reads."""
    contract: str
    """Hash of the contract of the rows."""
    vocabulary: str
    """Hash of the file of the vocabulary that they are numbered by."""
    time_origin: Literal["birth", "first_event", "anchor"]
    """What a subject's time is counted from (see the pipeline's key of this name)."""
    calendar: Literal["kept", "shifted", "none"] = "kept"
    """What dates and hours mean (see the pipeline's key of this name)."""
    splits: dict[Name, tuple[ShardEntry, ...]]
    """Shards by split, in their order."""

    def fingerprint(self, *names: str) -> str:
        """Return the hash by which runs and embeddings name what they read: all that some splits hold."""
        from tawt.files import digest  # with pyarrow, which the help of commands does without

        held = ([self.calendar, *(entry.model_dump() for entry in self.splits.get(name, ()))] for name in names)
        return digest([digest(split) for split in held])
