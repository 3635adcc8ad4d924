"""A dataset that lies in an object store: each file is fetched into the workspace once, when it is first needed.

A file has its name only once it is whole and is what the dataset's manifest lists by its hash. So the workspace is a
cache: who fills it may be killed, processes share it, and what is in it may be deleted at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tawt.config.base import Section
from tawt.contracts.dataset import DATASET, FORMAT, VOCABULARY, DatasetManifest, ShardEntry
from tawt.errors import DatasetError
from tawt.files import alone_at, whole, write_sealed
from tawt.readers import read_record
from tawt.seals import sha256_file
from tawt.stores import Store, each

SOURCE = "source.json"
"""File beside the manifest of a dataset that says where its shards are fetched from; sealed."""


class Source(Section):
    """Where the files of a dataset are fetched from."""

    url: str
    """Of the workspace in the object store."""


def take_from(url: str, workspace: Path) -> DatasetManifest:
    """Make a workspace of what a training needs of one in an object store; its shards are fetched when they are needed.

    Args:
        url: Of a workspace, as `s3://BUCKET/FOLDER`: of any kind that fsspec opens.
        workspace: Where; what is there of the same dataset is kept.

    Raises:
        ConfigError: The URL is none, may name a key, or is of a kind that nothing here opens.
        DatasetError: There is no dataset, it cannot be read, or it and its vocabulary do not belong together.
    """
    manifest, content = listed(url)
    store, place = Store(url, DatasetError), workspace / "dataset"
    _fetch(store, f"vocabulary/{VOCABULARY}", workspace / "vocabulary" / VOCABULARY, manifest.vocabulary)
    for split, entries in manifest.splits.items():  # of another dataset, which was fetched before
        for name, sha256 in _files(entries).items():
            file = place / split / name
            if file.is_file() and sha256_file(file) != sha256:
                file.unlink()
    write_sealed(place / SOURCE, Source(url=store.url).model_dump())
    with whole(place / DATASET) as aside:
        aside.write_bytes(content)
    return manifest


def listed(url: str) -> tuple[DatasetManifest, bytes]:
    """Return what the manifest of a dataset in an object store says, and its file; nothing is written.

    Raises:
        ConfigError: As of `take_from`.
        DatasetError: As of `take_from`.
    """
    store, name = Store(url, DatasetError), f"dataset/{DATASET}"
    with TemporaryDirectory(prefix="tawt-") as aside:
        file = Path(aside) / DATASET
        _get(store, name, file)
        try:
            manifest = read_record(file, DatasetManifest, "copy it to the store again", DatasetError, sealed=True)
        except DatasetError as error:  # names the place aside
            raise DatasetError(store.place(name), error.what, error.hint) from None
        if manifest.format != FORMAT:
            what = f"has the format `{manifest.format}`, expected `{FORMAT}`"
            raise DatasetError(store.place(name), what, "fetch it with the version of tawt that made it")
        return manifest, file.read_bytes()


def fetch_split(dataset: Path, split: str, entries: Sequence[ShardEntry], again: str) -> list[Path]:
    """Fetch the files of a split that are not there yet, where a dataset lies in an object store, and return them.

    Args:
        dataset: WORKSPACE/dataset.
        split: Which.
        entries: Its shards.
        again: The hint where the record of where it lies is damaged.

    Raises:
        ConfigError: The store is of a kind that nothing here opens.
        DatasetError: A file cannot be read, or is not what is listed by its hash.
    """
    if not (dataset / SOURCE).is_file():
        return []
    wanted = {name: sha256 for name, sha256 in _files(entries).items() if not (dataset / split / name).exists()}
    if not wanted:
        return []
    url = read_record(dataset / SOURCE, Source, again, DatasetError, sealed=True).url
    store = Store(url, DatasetError)

    def one(name: str) -> Path:
        _fetch(store, f"dataset/{split}/{name}", dataset / split / name, wanted[name])
        return dataset / split / name

    return each(wanted, one)


def _files(entries: Sequence[ShardEntry]) -> dict[str, str]:
    """Return the files of shards, and what each holds."""
    of_rows = {f"{entry.shard}.arrow": entry.sha256 for entry in entries}
    return of_rows | {f"{entry.shard}.index.arrow": entry.index_sha256 for entry in entries}


def _fetch(store: Store, name: str, path: Path, sha256: str) -> None:
    """Fetch a file, unless it is there by now: several processes of a training may want it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_at(path, taken=lambda: None):
        if path.is_file() and sha256_file(path) == sha256:
            return
        with whole(path) as aside:
            _get(store, name, aside)
            if sha256_file(aside) != sha256:
                raise DatasetError(
                    store.place(name),
                    "is not as it was written, expected the file that dataset.json lists by its hash",
                    "where another dataset is there by now, `tawt fetch` takes it; else copy the whole of dataset/ and "
                    "vocabulary/ there again",
                )  # fmt: skip


def _get(store: Store, name: str, aside: Path) -> None:
    if not store.get(name, aside):
        raise DatasetError(
            store.place(name), "is not there, expected a file of a workspace that `tawt build-vocab` made",
            "copy dataset/ and vocabulary/ of it to the store",
        )  # fmt: skip
