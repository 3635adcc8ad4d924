"""One reader per format: whatever is wrong with a file is one line that names it and what mends it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tawt.errors import FileError, TawtError
from tawt.room import hold_memory
from tawt.seals import holds

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pydantic import BaseModel

    Record = TypeVar("Record", bound=BaseModel)

MAX_TEXT_BYTES = 64 << 20
"""A text file that is larger is none of ours: it is not read into memory."""
MAX_WRITTEN_BYTES = 1 << 20
"""The same of one that a person writes; the largest that comes with tawt holds 6 kB."""
AGAIN = "make it again, or take it from a copy"
GIVEN = "check the path"
"""Of a file that the user gives, who would not mend it by moving what is there away."""


@contextmanager
def reading(
    path: Path, expected: str, hint: str = AGAIN, kind: type[TawtError] = FileError, place: str | None = None
) -> Iterator[None]:
    """Turn whatever reading a damaged file brings into one line that names it and what mends it.

    Only what depends on the file's bytes belongs within: an error of ours would be told as the file's. The text of a
    foreign error is left out: it can quote what the file holds.

    Args:
        path: The file; what is no regular file (a folder, a pipe) is not opened.
        expected: What it should be, as `a Parquet file`.
        hint: What mends it.
        kind: The error to raise.
        place: What is said of it instead of its path.

    Raises:
        TawtError: Of that kind: it is absent, of another format, torn, or may not be read.
        RoomError: Memory ran out.
    """

    def fault(what: str, remedy: str = hint) -> TawtError:
        return kind(place or str(path), f"{what}, expected {expected}", remedy)

    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            remedy = hint if hint == GIVEN else f"move it away; {hint}"
            raise fault("is a folder" if stat.S_ISDIR(mode) else "is no regular file", remedy)
        yield
    except TawtError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise fault("is not there") from None
    except PermissionError:
        raise fault("may not be read by this user", "give the right to read it, or run as its owner") from None
    except RecursionError:
        raise fault("is nested too deep to read") from None
    except Exception as error:  # every reader has errors of its own for bytes that are not what they should be
        hold_memory(error, place or path)
        if isinstance(error, OSError) and error.errno:
            raise fault(f"cannot be read ({os.strerror(error.errno)})") from None
        raise fault(f"is damaged or of another format ({type(error).__name__})") from None


def read_text(
    path: Path,
    hint: str = AGAIN,
    kind: type[TawtError] = FileError,
    expected: str = "a text file",
    most: int = MAX_TEXT_BYTES,
) -> str:
    """Read a text file of ours, of at most as many bytes.

    Raises:
        TawtError: Of that kind: it is absent, not UTF-8, larger than any of ours, or may not be read.
    """
    with reading(path, expected, hint, kind):
        if (n_bytes := path.stat().st_size) > most:
            raise kind(str(path), f"holds {n_bytes:,} bytes, expected {expected} of at most {most:,}", hint)
        try:
            return path.read_text(encoding="utf-8-sig")  # some editors write a mark of the encoding first
        except UnicodeDecodeError as error:
            if most != MAX_WRITTEN_BYTES:  # nobody wrote it by hand: it is damaged
                raise
            line = error.object.count(b"\n", 0, error.start) + 1
            remedy = f"save it as UTF-8; {hint}"
            raise kind(
                str(path), f"has letters at line {line} that are not UTF-8, expected {expected}", remedy
            ) from None


def hold_seal(path: Path, hint: str = AGAIN, kind: type[TawtError] = FileError, always: bool = False) -> None:
    """Hold a file to its seal; `always` is for one that is never without.

    Raises:
        TawtError: Of that kind: it is not as it was written, or lacks the seal that it always has.
    """
    if holds(path, without=not always):
        return
    why = " (it has no seal)" if holds(path, without=True) else ""
    raise kind(str(path), f"is not as it was written{why}, expected the content that its seal is of", hint)


def read_map(
    path: Path, hint: str = AGAIN, kind: type[TawtError] = FileError, most: int = MAX_TEXT_BYTES,
    sealed: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Read a JSON file that holds keys, without its seal if it has one; `sealed` is for one that always has.

    Raises:
        TawtError: Of that kind: it is absent, not JSON, nested without end, or holds something else, or its seal does
            not hold.
    """
    text = read_text(path, hint, kind, "a JSON file of keys", most)
    with reading(path, "a JSON file of keys", hint, kind):
        data = json.loads(text)
        if "\\u" in text:  # half of a letter can be spelled so, and be written nowhere
            json.dumps(data, ensure_ascii=False).encode()
    if not isinstance(data, dict):
        raise kind(str(path), f"holds a {type(data).__name__}, expected a JSON file of keys", hint)
    if data.pop("seal", None) is not None or sealed:
        hold_seal(path, hint, kind, sealed)
    return data


def read_record(
    path: Path,
    record: type[Record],
    hint: str = AGAIN,
    kind: type[TawtError] = FileError,
    absent: Record | None = None,
    sealed: bool = False,
) -> Record:
    """Read a small record of ours, each key of its type; `absent` stands for a file that is not there.

    `sealed` is for one that always has a seal.

    Raises:
        TawtError: Of that kind: as of `read_map`, or a key is unknown, missing or of another type.
    """
    from pydantic import ValidationError

    if absent is not None and not os.path.lexists(path):
        return absent
    data = read_map(path, hint, kind, sealed=sealed)
    try:
        return record.model_validate(data)
    except (ValidationError, RecursionError) as error:
        wrong = error.errors(include_url=False, include_input=False)[0] if isinstance(error, ValidationError) else None
        # keys below the first can be names that came with the data
        key = f"`{wrong['loc'][0]}` does not fit" if wrong and wrong["loc"] else "does not fit"
        raise kind(str(path), f"{key}, expected the keys of {record.__name__}", hint) from None


def read_parquet(
    path: Path,
    columns: Sequence[str] | None = None,
    hint: str = AGAIN,
    kind: type[TawtError] = FileError,
    place: str | None = None,
    **options: Any,
) -> pa.Table:
    """Read one Parquet file, the named columns in their order; options go to `pyarrow.parquet.ParquetFile`.

    Raises:
        TawtError: Of that kind: it is absent, no Parquet, torn, or has not each column once.
    """
    with _parquet(path, hint, kind, place, **options) as file:
        hold_names(file.schema_arrow.names, columns, place or str(path), hint, kind)
        table = file.read(columns=columns)
        return table if columns is None else table.select(list(columns))


def table_of(content: bytes) -> pa.Table:
    """Return what a Parquet file holds whose bytes are here, read by this thread alone.

    A thread of Arrow's that lets go of bytes of Python's while the program ends takes it down: exit code 134.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)


def hold_names(
    names: Sequence[str], wanted: Sequence[str] | None, where: str, hint: str = AGAIN,
    kind: type[TawtError] = FileError,
) -> None:  # fmt: skip
    """Hold that a table has each column once: of two of one name nobody knows which is meant.

    Args:
        names: Its columns.
        wanted: Those that are read; None = all.
        where: What is said of it.
        hint: What mends it.
        kind: The error to raise.

    Raises:
        TawtError: Of that kind.
    """
    for name in wanted or ():
        if (n := names.count(name)) != 1:
            what = f"column `{name}` is there {n} times" if n else f"has no column `{name}`"
            raise kind(where, f"{what}, expected it {'once' if n else 'there'}", hint)
    if wanted is None and (n := len(names) - len({*names})):
        raise kind(where, f"has {n:,} columns of a name that is there already, expected each once", hint)


def parquet_schema(
    path: Path, hint: str = AGAIN, kind: type[TawtError] = FileError, place: str | None = None
) -> pa.Schema:
    """Return the names and types of a Parquet file's columns.

    Raises:
        TawtError: Of that kind: it is absent, no Parquet, or torn.
    """
    with _parquet(path, hint, kind, place) as file:
        return file.schema_arrow


def parquet_metadata(
    path: Path, hint: str = AGAIN, kind: type[TawtError] = FileError, place: str | None = None
) -> pq.FileMetaData:
    """Return how many rows a Parquet file has, and what it says of its parts.

    Raises:
        TawtError: Of that kind: it is absent, no Parquet, or torn.
    """
    with _parquet(path, hint, kind, place) as file:
        return file.metadata


def parquet_batches(
    path: Path,
    columns: Sequence[str] | None = None,
    hint: str = AGAIN,
    kind: type[TawtError] = FileError,
    place: str | None = None,
    **options: Any,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file in pieces; what goes wrong with a piece elsewhere is not told as the file's.
    Options are as of `read_parquet`.

    Raises:
        TawtError: Of that kind: it is absent, no Parquet, or torn.
    """
    with ExitStack() as held:
        with _reading_parquet(path, hint, kind, place):
            batches = held.enter_context(_opened(path, **options)).iter_batches(columns=columns)
        while True:
            with _reading_parquet(path, hint, kind, place):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


@contextmanager
def _parquet(
    path: Path, hint: str, kind: type[TawtError], place: str | None, **options: Any
) -> Iterator[pq.ParquetFile]:
    with _reading_parquet(path, hint, kind, place), _opened(path, **options) as file:
        yield file


def _opened(path: Path, **options: Any) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, **options)


def _reading_parquet(path: Path, hint: str, kind: type[TawtError], place: str | None) -> AbstractContextManager[None]:
    return reading(path, "a whole Parquet file", hint, kind, place)
