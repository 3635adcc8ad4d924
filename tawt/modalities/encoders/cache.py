"""What frozen encoders said of contents, kept: each content is encoded once, whichever run asks.

A folder is named by the hash of all that decides an embedding beside the content: weights, config and how a content is
prepared. Its files hold embeddings by the hash of the content. Each is whole, sealed, and named by what it holds, so
that several processes may fill one folder at once: at worst both do the same work.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from tawt.errors import CheckpointError, FileError
from tawt.files import write_parquet
from tawt.modalities.encoders.modality import Modality
from tawt.readers import hold_seal, read_parquet

SUFFIX = ".parquet"
A_FILE = 4096
"""Embeddings of a file: what a killed run loses at most."""
AT_ONCE = 64
"""Contents that are encoded together."""
_MAY_NOT = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says to who may read a workspace and not write there."""


@dataclass(frozen=True, eq=False)
class Kept:
    """Embeddings of `c` contents."""

    embeddings: NDArray[np.float32]
    """`(c, d_embedding)`, in memory."""
    identity: str
    """See `Modality.identity`."""
    n_encoded: int
    """How many were encoded now."""
    n_broken: int
    """Files that were not as they were written: what they held was encoded again."""


def encode_once(
    modality: Modality,
    sha256: Sequence[str],
    array_of: Callable[[int], NDArray[Any]],
    folder: Path,
    device: torch.device | str = "cpu",
) -> Kept:
    """Return embeddings of contents, of which those are encoded that nobody encoded before.

    Who may not write in the folder encodes them, and keeps nothing.

    Args:
        modality: Of all of them; a frozen one.
        sha256: `(c,)`, by which each is known.
        array_of: Gives the array of one, by its place in `sha256`.
        folder: Where embeddings are kept, of any encoders.
        device: Where it is encoded; the modality is left there.

    Raises:
        CheckpointError: The encoder gives something that is no number.
    """
    identity = modality.identity()
    place, out = folder / identity, np.zeros((len(sha256), modality.d_embedding), dtype=np.float32)
    asked: dict[str, list[int]] = {}
    for row, key in enumerate(sha256):
        asked.setdefault(key, []).append(row)
    missing, broken = set(asked), []
    for path in sorted(place.glob(f"*{SUFFIX}")):
        try:
            keys, found = _read(path, modality.d_embedding)
        except FileError:
            broken.append(path)
            continue
        for key, vector in zip(keys, found, strict=True):
            if key in missing:
                out[asked[key]] = vector
                missing.discard(key)
    for path in broken:
        with suppress(OSError):
            path.unlink()
    ordered = sorted(missing)
    for start in range(0, len(ordered), A_FILE):
        keys = ordered[start : start + A_FILE]
        vectors = _encoded(modality, [array_of(asked[key][0]) for key in keys], device)
        try:
            _write(place, keys, vectors)
        except OSError as error:
            if error.errno not in _MAY_NOT:
                raise
        for key, vector in zip(keys, vectors, strict=True):
            out[asked[key]] = vector
    return Kept(out, identity, len(ordered), len(broken))


def _encoded(modality: Modality, arrays: list[NDArray[Any]], device: torch.device | str) -> NDArray[np.float32]:
    was_training = modality.training
    modality.to(device).eval()
    out = np.empty((len(arrays), modality.d_embedding), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, len(arrays), AT_ONCE):
            part = torch.stack([modality.prepared(array) for array in arrays[start : start + AT_ONCE]])
            out[start : start + len(part)] = modality(part.to(device)).float().cpu().numpy()
    modality.train(was_training)
    if not np.isfinite(out).all():
        raise CheckpointError(
            type(modality).__name__, "gives embeddings that are not finite, expected numbers",
            "name other weights; in half precision large models overflow",
        )  # fmt: skip
    return out


def _write(place: Path, keys: list[str], vectors: NDArray[np.float32]) -> None:
    rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    name = hashlib.sha256("".join(keys).encode()).hexdigest()
    write_parquet(place / f"{name}{SUFFIX}", pa.table({"sha256": keys, "embedding": rows}))


def _read(path: Path, d_embedding: int) -> tuple[list[str], NDArray[np.float32]]:
    table = read_parquet(path, ["sha256", "embedding"])
    hold_seal(path, always=True)
    if table.schema.types != [pa.string(), pa.list_(pa.float32(), d_embedding)]:
        raise FileError(str(path), "has other columns, expected a file of embeddings")
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if len(flat) != len(table) * d_embedding or not np.isfinite(flat).all():
        raise FileError(str(path), "holds what is no embedding, expected numbers for each content")
    return table["sha256"].to_pylist(), flat.reshape(-1, d_embedding)
