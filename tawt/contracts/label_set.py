"""What a label set of `tawt label` says of itself, in the metadata of its Parquet schema, and where it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from tawt.config.base import Section
from tawt.contracts.layers import LAYERS
from tawt.errors import FileError
from tawt.readers import parquet_schema

FOLDER, FILE = "labels", LAYERS["labels"].one_file
"""A label set NAME of a workspace is `labels/NAME/labels.parquet`, whoever made it."""
_KEY = b"tawt.labels"
Form = Literal["aces", "meds"]


class AboutLabels(Section):
    """What a label set was made of."""

    format: Literal["tawt.labels/1"] = "tawt.labels/1"
    form: Form
    """Whether a task said it, or a file of MEDS labels held it."""
    task: str
    """Name of the ready task, or of the file."""
    made_of: dict[str, str]
    """`task` or `file`, `events`, each by its hash; `clock`; the version of `tawt`."""
    attrition: tuple[dict[str, str], ...] = ()
    """Who is left after each rule, as texts that tell of no few people."""

    def metadata(self) -> dict[bytes, bytes]:
        """Return it as the metadata of a schema."""
        return {_KEY: self.model_dump_json().encode()}


def label_path(root: Path, name: str) -> Path:
    """Return where a label set of a workspace lies."""
    return root / FOLDER / name / FILE


def about_labels(path: Path) -> AboutLabels | None:
    """Return what a label set was made of; None of a file that `tawt label` did not write."""
    try:
        said = (parquet_schema(path).metadata or {}).get(_KEY)
        return AboutLabels.model_validate_json(said) if said is not None else None
    except (FileError, ValidationError):
        return None


def label_sets(root: Path) -> dict[str, tuple[Path, AboutLabels]]:
    """Return the label sets of a workspace that `tawt label` wrote, by name; those of SQL stages have a manifest."""
    found = {path.parent.name: (path, about_labels(path)) for path in sorted((root / FOLDER).glob(f"*/{FILE}"))}
    return {name: (path, about) for name, (path, about) in found.items() if about is not None}
