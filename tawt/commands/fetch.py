"""`tawt fetch`: a workspace in an object store -> what a training needs of it, here, fetched when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.contracts.dataset import DatasetManifest
from tawt.contracts.workspace import PIPELINE
from tawt.dataset.remote import fetch_split, listed, take_from
from tawt.errors import ConfigError


@dataclass(frozen=True)
class FetchResult:
    """What can be trained on now."""

    manifest: DatasetManifest
    """Of the dataset."""
    n_fetched: int
    """Files of shards that were fetched by this command."""

    @property
    def splits(self) -> list[tuple[str, int, int, int]]:
        """Each split, its shards, subjects and bytes."""
        return [
            (name, len(entries), sum(one.n_subjects for one in entries), sum(one.n_bytes for one in entries))
            for name, entries in self.manifest.splits.items()
        ]


def fetch(
    url: str,
    workspace: str | Path,
    *,
    everything: bool = False,
    dry_run: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
) -> FetchResult:
    """Make a workspace of a dataset in an object store: who reads a split fetches the shards of it that are not there.

    Args:
        url: Of a workspace with its `dataset/` and `vocabulary/`, as `s3://BUCKET/FOLDER`: of a kind that fsspec opens.
        workspace: Where, new or of the same kind. It holds the shards that were fetched, each once, held to its hash.
        everything: Fetch all splits now.
        dry_run: Only look what there is.
        report: Hears, split by split, how many shards of all are fetched.

    Raises:
        ConfigError: The URL is none, or the workspace is one that `tawt ingest` made.
        DatasetError: There is no dataset, or a file of it is not what is listed by its hash.
    """
    root = Path(workspace).expanduser()
    if (root / PIPELINE).exists():
        raise ConfigError(
            str(root), "was made by `tawt ingest`, expected a folder for what is fetched", "give another with -w"
        )
    if dry_run:
        return FetchResult(listed(url)[0], 0)
    manifest, n_fetched, n_done = take_from(url, root), 0, 0
    n_shards = sum(map(len, manifest.splits.values()))
    wanted = manifest.splits if everything and n_shards else {}
    if wanted:
        report({"event": "part", "n_done": 0, "n_rows": n_shards})
    for name, entries in wanted.items():
        n_fetched += len(fetch_split(root / "dataset", name, entries, f"fetch it again from {url}"))
        n_done += len(entries)
        report({"event": "part", "n_done": n_done, "n_rows": n_shards})
    return FetchResult(manifest, n_fetched)
