"""WORKSPACE/dataset -> splits of subjects, mapped and never loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tawt.contracts.contract import own_contract
from tawt.contracts.dataset import DATASET, FORMAT, VOCABULARY, DatasetManifest, ShardEntry
from tawt.contracts.workspace import hold_workspace
from tawt.dataset.remote import SOURCE, fetch_split
from tawt.dataset.shard import Columns, Index, Mapped, hold, map_shard, read_index
from tawt.dataset.vocabulary import Vocabulary, read_vocabulary
from tawt.errors import DatasetError, nearest
from tawt.files import digest, stamp, touched
from tawt.readers import hold_seal, read_record, reading
from tawt.seals import sha256_file
from tawt.shell import command

SMALL_BYTES = 256 << 20
"""A split that is not larger is held to its hashes whenever it is opened."""


@dataclass(frozen=True, eq=False)
class Split:
    """The subjects of one split: `s` of them, shard by shard, in the order of the shards' indexes."""

    folder: Path
    """WORKSPACE/dataset/NAME."""
    name: str
    """train, tuning or held_out."""
    mapped: tuple[Mapped, ...]
    """Its shards."""
    entries: tuple[ShardEntry, ...]
    """What is listed of each."""
    shard: NDArray[np.int32]
    """`(s,)`, number of the subject's shard."""
    starts: NDArray[np.int64]
    """`(s,)`, row of the subject's first triplet in its shard."""
    lengths: NDArray[np.int64]
    """`(s,)`, triplets of the subject, statics included."""
    n_static: NDArray[np.int64]
    """`(s,)`, static ones among them, which come first."""
    subject_ids: NDArray[np.int64]
    """`(s,)`."""
    origins: NDArray[np.int64]
    """`(s,)`, time origin, us since 1970-01-01."""
    calendar: str = "kept"
    """What dates and hours of the record mean: kept, shifted or none (see the pipeline's key of this name)."""
    time_origin: str = "first_event"
    """What the origins are: birth, first_event or anchor."""
    workspace: Path | None = None
    """Whose records they are; None of records in memory."""

    @property
    def build_again(self) -> str:
        """The hint for what is wrong with it."""
        return _build_again(self.folder.parent)

    @property
    def make_again(self) -> str:
        """The hint for a file that was written to: what was built from nothing else is not built again by itself."""
        return _make_again(self.folder.parent)

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self.lengths)

    @property
    def n_triplets(self) -> int:
        """Number of triplets."""
        return int(self.lengths.sum())

    @property
    def shards(self) -> tuple[Columns, ...]:
        """Views of each mapped shard."""
        return tuple(shard.columns for shard in self.mapped)

    def people(self) -> tuple[NDArray[np.int64], ...]:
        """Number of the subject of each row of each shard."""
        order = np.lexsort((self.starts, self.shard))
        own = (order[self.shard[order] == i] for i in range(len(self.mapped)))
        return tuple(np.repeat(subjects, self.lengths[subjects]) for subjects in own)

    @property
    def shard_files(self) -> tuple[str, ...]:
        """Name of each shard's file within the split's folder."""
        return tuple(shard.path.name for shard in self.mapped)

    def fingerprint(self) -> str:
        """Return a hash of all that the split holds: of the hashes of its files, to which they are held."""
        return digest([self.calendar, *(entry.model_dump() for entry in self.entries)])

    def hold(self) -> None:
        """Hold that nothing which is mapped has changed; what was touched since is read whole for it.

        Raises:
            DatasetError: A shard was written to in place. One that was replaced stays mapped as it was.
        """
        for shard, entry in zip(self.mapped, self.entries, strict=True):
            shard.hold_again(entry.sha256, self.make_again)

    def columns(self, i: int) -> Columns:
        """Return the triplets of subject number `i`, as views of the mapped file."""
        start = int(self.starts[i])
        return self.mapped[self.shard[i]].columns.rows(start, start + int(self.lengths[i]))


@dataclass(frozen=True, eq=False)
class TripletDataset:
    """What `tawt build-vocab` wrote for the trainer."""

    folder: Path
    """WORKSPACE/dataset."""
    vocabulary: Vocabulary
    """The vocabulary that the shards are written in."""
    time_origin: str
    """What a subject's origin is: birth, first_event or anchor."""
    manifest: DatasetManifest
    """dataset.json."""
    stamps: dict[Path, tuple[int, ...]]
    """Of its files when it was opened."""

    def has_changed(self) -> bool:
        """Return whether another dataset, or none, lies under the path by now, or a file of it was written to.

        What is mapped stays as it is where the folder is replaced whole, by a rename, as tawt does.
        """
        now = _stamps(self.folder)
        come = () if self.folder / SOURCE in self.stamps else now.keys() - self.stamps.keys()
        return bool(come) or any(now.get(path) != before for path, before in self.stamps.items())

    def _hold(self) -> None:
        if self.has_changed():
            raise DatasetError(
                str(self.folder), "was replaced while it was read, expected to stay as it was",
                "start again when `tawt build-vocab` has ended",
            )  # fmt: skip

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.manifest.splits)

    def split(self, name: str) -> Split:
        """Map the shards of a split.

        All are mapped and checked at once, so a broken file is found here and not hours into a run. A mapping
        costs address space only, and no file stays open. Of a large split nothing is read before it is used, but for
        shards that are younger than the manifest: they were written to since, or copied later, and are held to their
        hashes as all of a small split are.

        Raises:
            DatasetError: There is no such split, or a file is absent, cut off or not what the manifest says.
        """
        if name not in self.manifest.splits:
            raise DatasetError(
                str(self.folder),
                f"has no split `{name}`, expected one of its own",
                nearest(name, self.manifest.splits) or _build_again(self.folder),
            )
        self._hold()
        entries = self.manifest.splits[name]
        rows = own_contract("dataset")
        index = own_contract("dataset_index")
        folder, hint = self.folder / name, _build_again(self.folder)
        fetched = fetch_split(self.folder, name, entries, hint)
        self.stamps.update({path: stamp(path) for path in fetched})
        mapped: list[Mapped] = []
        indexes: list[Index] = []
        is_small = sum(entry.n_bytes for entry in entries) <= SMALL_BYTES
        for entry in entries:
            shard = map_shard(folder / f"{entry.shard}.arrow", rows, entry.n_bytes, entry.n_triplets, hint)
            mapped.append(shard)
            if is_small or touched(shard.stamp) > touched(self.stamps[self.folder / DATASET]):
                shard.hold(entry.sha256, _make_again(self.folder))
            file = folder / f"{entry.shard}.index.arrow"
            indexes.append(read_index(file, index, entry.n_subjects, entry.n_triplets, hint))
            hold(file, sha256_file(file), entry.index_sha256, _make_again(self.folder))
        self._hold()

        def joined(column: str) -> NDArray[np.int64]:
            none = np.empty(0, dtype=np.int64)
            return np.concatenate([none, *(getattr(index, column) for index in indexes)])

        return Split(
            folder=folder,
            name=name,
            mapped=tuple(mapped),
            entries=entries,
            shard=np.repeat(np.arange(len(entries), dtype=np.int32), [entry.n_subjects for entry in entries]),
            starts=joined("start"),
            lengths=joined("length"),
            n_static=joined("n_static"),
            subject_ids=joined("subject_id"),
            origins=joined("origin"),
            calendar=self.manifest.calendar,
            time_origin=self.time_origin,
            workspace=self.folder.parent,
        )


def _build_again(dataset: Path) -> str:
    return f"build it again with `{command('build-vocab', workspace=dataset.parent)}`"


def _make_again(dataset: Path) -> str:
    made = command("run", "dataset", workspace=dataset.parent, force=True)
    return f"make it again with `{made}`, or copy it again"


def fingerprint_of(splits: Iterable[Split]) -> str:
    """Return the hash by which runs and embeddings name what they read of a dataset."""
    return digest([split.fingerprint() for split in splits])


def open_dataset(workspace: Path) -> TripletDataset:
    """Open the dataset of a workspace; its splits are mapped when they are asked for.

    Raises:
        DatasetError: It is absent, of another format or contract, or written with another vocabulary.
    """
    path = workspace / "dataset" / DATASET
    hint = f"make it with `{command('build-vocab', workspace=workspace)}`"
    stamps = _stamps(path.parent)
    if not path.exists() and not (workspace / "pipeline.yaml").is_file():
        hold_workspace(workspace)
        raise DatasetError(
            str(workspace), "has no dataset/dataset.json, expected a workspace that `tawt ingest` made",
            command("ingest", "RAW_DIR", pipeline="NAME", workspace=workspace),
        )  # fmt: skip
    if path.is_file():  # before it is read: a file that is there counts as made, whatever became of it
        with reading(path, "a JSON file of keys", hint, DatasetError):
            hold_seal(path, _make_again(path.parent), DatasetError, always=True)
    manifest = read_record(path, DatasetManifest, hint, DatasetError)
    if manifest.format != FORMAT:
        raise DatasetError(str(path), f"has the format `{manifest.format}`, expected `{FORMAT}`", hint)
    digest = own_contract("dataset").digest
    if manifest.contract != digest:
        raise DatasetError(str(path), f"has the contract {manifest.contract}, expected {digest}", hint)
    vocabulary = read_vocabulary(workspace / "vocabulary" / VOCABULARY, hint)
    if manifest.vocabulary != vocabulary.sha256:
        raise DatasetError(
            str(path),
            f"was written with vocabulary {manifest.vocabulary[:12]}, expected {vocabulary.sha256[:12]}",
            hint,
        )
    return TripletDataset(path.parent, vocabulary, manifest.time_origin, manifest, stamps)


def _stamps(folder: Path) -> dict[Path, tuple[int, ...]]:
    return {path: stamp(path) for path in (*folder.glob("*.json"), *folder.glob("*/*.arrow"))}
