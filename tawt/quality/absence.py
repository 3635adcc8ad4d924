"""Which files of a workspace tell of those who opted out: every one is looked into, whatever made it.

A table tells of somebody by its column `subject_id`; where ids are text, any cell that is one does, and any word of a
text file. A number in a table that is none of tawt's, or one of at least six digits in a text file, may be one of
theirs, or a count: that is told apart, and so is what is neither table nor text. Raw files, and what this machine
remembers of them, name who they name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tawt.contracts.opted_out import OptedOut
from tawt.contracts.workspace import HOSPITAL
from tawt.errors import FileError
from tawt.pipeline.workspace import LOCAL, LOCK, OWN_FOLDERS, Workspace
from tawt.places import real
from tawt.readers import reading
from tawt.transforms.subject_numbers import numbers_of

_OF_MODELS = re.compile(r".*\.(safetensors|png|pdf)|events\.out\.tfevents\..*")
"""Names of files of a run that are neither table nor text, and hold no cell."""
_NUMBER = re.compile(rb"(?<![\w.])-?[0-9]{6,19}(?![\w.])")
_WHOLE = re.compile("-?[0-9]{1,19}")
_WORD = re.compile(r"[^\s\"',;<>()\[\]{}]+")
_SUBJECT = "subject_id"
_OWN = (*OWN_FOLDERS, "quarantine", "shards")
"""Folders whose tables name subjects in a column of that name alone."""


class Looked:
    """What was looked into, and what tells of them.

    Args:
        workspace: Where.
        who: Those who opted out.
        key: What numbers for ids that are text hang on; None where ids are numbers.
    """

    def __init__(self, workspace: Workspace, who: OptedOut, key: str | None) -> None:
        self.root, self.who = workspace.root, who
        self.key = bytes.fromhex(key) if key is not None else None
        self._known: dict[int, bool] = {}
        raw, self._of_raw = workspace.raw_root, {self.root / name for name in (HOSPITAL, LOCAL)}
        self._raw = real(self.root / raw) if raw is not None else None
        self.perhaps: list[Path] = []
        """Files in which a number like one of theirs stands."""
        self.unread: list[Path] = []
        """Files of kinds that are not looked into."""
        there = sorted(self._files(self.root))
        self.telling = [path for path in there if self._tells(path)]
        self.n_files = len(there) - len(self.unread)

    def _files(self, folder: Path) -> Iterator[Path]:
        """Yield all files that are not the raw ones, or say which hospital was invented."""
        for path in folder.iterdir():
            if path.is_symlink() or path.name == LOCK or path in self._of_raw:
                continue
            if path.is_dir() and real(path) != self._raw:
                yield from self._files(path)
            elif path.is_file():
                yield path

    def _tells(self, path: Path) -> bool:
        tables: dict[str, Callable[[Path], Iterator[pa.RecordBatch]]] = {".parquet": _parquet, ".arrow": _arrow}
        if (read := tables.get(path.suffix)) is not None:
            with reading(path, "a table", "make it again", FileError):
                may_tell, of_others = False, path.relative_to(self.root).parts[0] not in _OWN
                for batch in read(path):
                    if self._is_told(batch):
                        return True
                    may_tell = may_tell or (of_others and self._may_tell(batch))
            self.perhaps += [path] * may_tell
            return False
        content = path.read_bytes()
        if b"\0" in content:
            self.unread += [path] * (_OF_MODELS.fullmatch(path.name) is None)
            return False
        if self.key is None:
            self.perhaps += [path] * self._any_number({int(one) for one in _NUMBER.findall(content)})
            return False
        return self._any_id({*_WORD.findall(content.decode(errors="replace"))})

    def _is_told(self, batch: pa.RecordBatch) -> bool:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name == _SUBJECT and pa.types.is_integer(column.type):
                told = self._any_number(_met(column))
            else:
                told = self.key is not None and _is_text(column) and self._any_id(_met(column))
            if told:
                return True
        return False

    def _may_tell(self, batch: pa.RecordBatch) -> bool:
        """Return whether a number of theirs stands in any column: nobody says what those of others mean."""
        numbers = {one for column in batch.columns if pa.types.is_integer(column.type) for one in _met(column)}
        texts = {one for column in batch.columns if _is_text(column) for one in _met(column)}
        return self._any_number(numbers | {int(one) for one in texts if _WHOLE.fullmatch(one)})

    def _any_number(self, numbers: set[int]) -> bool:
        for number in numbers - self._known.keys():
            self._known[number] = self.who.mark(number) in self.who.marks
        return any(self._known[number] for number in numbers)

    def _any_id(self, ids: set[str]) -> bool:
        assert self.key is not None
        return self._any_number({*numbers_of(self.key, sorted(ids)).tolist()})


def _is_text(column: pa.Array) -> bool:
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _met(column: pa.Array) -> set[Any]:
    return {*column.drop_null().unique().to_pylist()}


def _parquet(path: Path) -> Iterator[pa.RecordBatch]:
    yield from pq.ParquetFile(path).iter_batches()


def _arrow(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as mapped:
        file = pa.ipc.open_file(mapped)
        yield from (file.get_batch(i) for i in range(file.num_record_batches))
