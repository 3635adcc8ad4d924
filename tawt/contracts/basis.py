"""The vocabulary that a workspace's own goes on from, kept in it: the stage is a function of what lies there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tawt.config.base import Section
from tawt.errors import FileError
from tawt.files import digest, sealed, whole
from tawt.places import remove
from tawt.readers import read_record
from tawt.seals import sha256_file

BASE = "base.json"
"""Record of a workspace that says what its vocabulary goes on from; sealed."""
BASE_TABLE = "base.parquet"
"""The file that it goes on from, byte for byte."""


class Base(Section):
    """What `base.json` says."""

    vocabulary: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Hash of `base.parquet`."""
    of: str = ""
    """What it was taken from, by name."""
    frozen: bool = False
    """Whether the vocabulary is this one as it is; else it is extended by what train has beside it."""
    by_code: bool = False
    """Whether codes are known by themselves alone: it is of this place, where a new code was always unknown."""
    concepts: dict[str, str] = {}
    """Of a frozen one, the concepts of its data_types, by code: what codes of another place may be known by."""

    @property
    def known(self) -> str:
        """What stages know it by: whatever its name is."""
        return digest(self.model_dump(exclude={"of"}, exclude_defaults=True))


@dataclass(frozen=True)
class Basis:
    """A base with its file, as it was read or is to be written."""

    record: Base | None
    """None = there is to be none any more."""
    content: Callable[[], bytes] = bytes
    """Reads the file, which is held to the hash in the record."""


def basis_of(content: bytes, of: str, **how: Any) -> Basis:
    """Return the basis that a vocabulary's file is; `how` are other fields of its record."""
    return Basis(Base(vocabulary=hashlib.sha256(content).hexdigest(), of=of, **how), lambda: content)


def read_basis(root: Path, hint: str) -> Basis | None:
    """Return what the vocabulary of a workspace goes on from; None where it stands by itself.

    Raises:
        FileError: The record is damaged; when the file is read, that it is not as it was written.
    """
    if not (root / BASE).exists():
        return None
    record = read_record(root / BASE, Base, hint)

    def content() -> bytes:
        path = root / BASE_TABLE
        read = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(read).hexdigest() != record.vocabulary:
            what = "is missing or not as it was written, expected the vocabulary that is gone on from"
            raise FileError(str(path), what, hint)
        return read

    return Basis(record, content)


def write_basis(root: Path, basis: Basis) -> None:
    """Write down what a vocabulary is to go on from: first its file, last the record that tells of it."""
    record, text = root / BASE, sealed(basis.record.model_dump(mode="json")) if basis.record is not None else ""
    if text and record.is_file() and record.read_text(encoding="utf-8") == text and not base_fault(root):
        return
    remove(record)
    if basis.record is None:
        remove(root / BASE_TABLE)
        return
    for path, content in ((root / BASE_TABLE, basis.content()), (record, text.encode())):
        with whole(path) as aside:
            aside.write_bytes(content)


def base_fault(root: Path) -> dict[str, str]:
    """Return what is wrong with the file beside a record that can be read, by its name.

    Raises:
        FileError: The record is damaged.
    """
    if (root / BASE).exists():
        record, path = read_record(root / BASE, Base), root / BASE_TABLE
        if not path.is_file() or sha256_file(path) != record.vocabulary:
            return {BASE_TABLE: "is missing or not as it was written"}
    return {}
