"""What frozen encoders said is kept: nothing is encoded twice, and nothing that was damaged is believed."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tawt.config.modalities import CnnConfig, ImageConfig, ModalitiesConfig
from tawt.errors import CheckpointError
from tawt.files import write_parquet
from tawt.modalities.contents import content_hash
from tawt.modalities.encoders import cache
from tawt.modalities.encoders.cache import encode_once
from tawt.modalities.encoders.images import Image
from tawt.modalities.encoders.made import make_modalities

CONFIG = ModalitiesConfig(image=ImageConfig(size=16, d_embedding=5, cnn=CnnConfig(width=8, n_stages=2)))


@pytest.fixture
def encoder() -> Image:
    return make_modalities(CONFIG, 0)[0]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many contents each pass of the encoder took."""
    passes: list[int] = []
    forward = Image.forward

    def counted(self, inputs):
        passes.append(len(inputs))
        return forward(self, inputs)

    monkeypatch.setattr(Image, "forward", counted)
    return passes


def contents(n: int, seed: int = 0) -> tuple[list[str], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(0, 256, (int(rng.integers(3, 30)), 20, 1), np.uint8) for _ in range(n)]
    return [content_hash(array) for array in arrays], arrays


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_who_may_only_read_a_workspace_keeps_nothing(number: int, encoder, tmp_path: Path, monkeypatch) -> None:
    """The same comes out where nothing may be written; a full disk is no matter of rights, and is told."""
    keys, arrays = contents(3)
    expected = encode_once(encoder, keys, arrays.__getitem__, tmp_path / "a").embeddings

    def refused(path: Path, **_: object) -> None:
        raise OSError(number, "refused", str(path))

    monkeypatch.setattr(Path, "mkdir", refused)
    for _ in range(2):
        again = encode_once(encoder, keys, arrays.__getitem__, tmp_path / "b")
        assert np.array_equal(again.embeddings, expected) and again.n_encoded == 3
    number = errno.ENOSPC
    with pytest.raises(OSError, match="refused"):
        encode_once(encoder, keys, arrays.__getitem__, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_second_use_encodes_nothing(encoder, encoded, tmp_path: Path) -> None:
    """The same bits come back, for any part and in any order; only what is new is encoded, and each content once."""
    keys, arrays = contents(9)
    first = encode_once(encoder, keys, arrays.__getitem__, tmp_path)
    expected = torch.stack([encoder.prepared(array) for array in arrays])
    with torch.no_grad():
        assert torch.allclose(encoder(expected), torch.from_numpy(first.embeddings), atol=1e-5)
    assert first.n_encoded == 9 and sum(encoded) == 18
    del encoded[:]
    order = [3, 3, 8, 0]
    again = encode_once(encoder, [keys[i] for i in order], [None] * 4, tmp_path)
    assert np.array_equal(again.embeddings, first.embeddings[order]) and again.n_encoded == 0 and encoded == []
    more, others = contents(2, seed=1)
    both = encode_once(encoder, [*more, keys[1], more[0]], [*others, None, None].__getitem__, tmp_path)
    assert both.n_encoded == sum(encoded) == 2
    assert np.array_equal(both.embeddings[2], first.embeddings[1]) and np.array_equal(
        both.embeddings[3], both.embeddings[0]
    )


def test_another_encoder_keeps_its_own(encoder, encoded, tmp_path: Path) -> None:
    """Other weights, or another preparation of the same weights, are encoded apart, beside what was there."""
    keys, arrays = contents(3)
    first = encode_once(encoder, keys, arrays.__getitem__, tmp_path)
    wider = make_modalities(ModalitiesConfig(image=CONFIG.image.model_copy(update={"size": 32})), 0)[0]
    wider.load_state_dict(encoder.state_dict())
    for other in (make_modalities(CONFIG, 1)[0], wider):
        found = encode_once(other, keys, arrays.__getitem__, tmp_path)
        assert found.n_encoded == 3 and found.identity != first.identity
        assert not np.allclose(found.embeddings, first.embeddings, atol=1e-4)
    assert encode_once(encoder, keys, arrays.__getitem__, tmp_path).n_encoded == 0
    assert len([*tmp_path.iterdir()]) == 3


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_file_is_not_believed(encoder, tmp_path: Path, damage: str) -> None:
    """What it held is encoded again and counted; the next use finds it whole."""
    keys, arrays = contents(4)
    first = encode_once(encoder, keys, arrays.__getitem__, tmp_path)
    (file,) = tmp_path.rglob("*.parquet")
    raw = bytearray(file.read_bytes())
    raw[raw.index(first.embeddings[0].tobytes()) if damage == "flip" else 9] ^= 1
    file.write_bytes({"flip": raw, "cut": raw[:-7], "empty": b"", "other": b"PAR1"}[damage])
    again = encode_once(encoder, keys, arrays.__getitem__, tmp_path)
    assert (again.n_encoded, again.n_broken) == (4, 1) and np.array_equal(again.embeddings, first.embeddings)
    assert encode_once(encoder, keys, arrays.__getitem__, tmp_path).n_broken == 0


@pytest.mark.parametrize("held", [[float("nan")] * 5, None])
def test_what_is_no_embedding_is_not_believed(encoder, tmp_path: Path, held: list[float] | None) -> None:
    """A file of the right seal, too: numbers that are none, and rows without any."""
    keys, arrays = contents(4)
    first = encode_once(encoder, keys, arrays.__getitem__, tmp_path)
    (file,) = tmp_path.rglob("*.parquet")
    rows = pq.read_table(file)
    column = pa.array([held, *rows["embedding"].to_pylist()[1:]], pa.list_(pa.float32(), 5))
    write_parquet(file, rows.set_column(1, "embedding", column))
    again = encode_once(encoder, keys, arrays.__getitem__, tmp_path)
    assert (again.n_encoded, again.n_broken) == (4, 1) and np.array_equal(again.embeddings, first.embeddings)


def test_a_killed_run_keeps_what_it_had_encoded(encoder, encoded, tmp_path: Path, monkeypatch) -> None:
    """Files are written as they are full: after a stop the rest alone is encoded, and no half of a file is there."""
    monkeypatch.setattr(cache, "A_FILE", 3)
    keys, arrays = contents(8)
    ordered = sorted(keys)

    def stops(i: int) -> np.ndarray:
        if keys[i] == ordered[7]:
            raise KeyboardInterrupt
        return arrays[i]

    with pytest.raises(KeyboardInterrupt):
        encode_once(encoder, keys, stops, tmp_path)
    assert encode_once(encoder, keys, arrays.__getitem__, tmp_path).n_encoded == 2
    assert len([*tmp_path.rglob("*.parquet")]) == 3 and not [*tmp_path.rglob("*.tmp")]


def test_two_fill_one_folder_at_once(tmp_path: Path) -> None:
    """With what overlaps, and locks that hold between open files as between processes: all is there, whole and right."""
    keys, arrays = contents(40)

    def fill(encoder: Image) -> None:
        for start in range(0, 40, 5):
            here = slice(start, start + 10)
            encode_once(encoder, keys[here], arrays[here].__getitem__, tmp_path)

    encoders = [make_modalities(CONFIG, 0)[0] for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(fill, encoders)] == [None, None]
    found = encode_once(encoders[0], keys, arrays.__getitem__, tmp_path)
    alone = encode_once(encoders[0], keys, arrays.__getitem__, tmp_path / "own")
    assert (found.n_encoded, found.n_broken) == (0, 0) and np.allclose(found.embeddings, alone.embeddings, atol=1e-5)


def test_a_batch_finds_what_was_kept_as_if_it_were_encoded_in_the_step(beds, tmp_path: Path) -> None:
    """Each modality encodes its own contents alone; embeddings by content come in where inputs would."""
    contents, kept = beds.contents, []
    for modality in beds.modalities:
        code = contents.codes.index(next(one for one in contents.codes if one.startswith(modality.prefix)))
        own = np.unique(contents.content[contents.code == code])
        found = encode_once(
            modality, [contents.sha256[i] for i in own], lambda i, own=own: contents.array(int(own[i])), tmp_path
        )
        kept.append(np.full((len(contents.sha256), modality.d_embedding), np.nan, np.float32))
        kept[-1][own] = found.embeddings
    found = beds.finder(encoded=kept)(beds.batch, training=True)
    plain = beds.finder()(beds.batch, training=False)
    for modality, one, other in zip(beds.modalities, found.inputs, plain.inputs, strict=True):
        assert len(one.at) and torch.equal(one.at, other.at)
        assert torch.allclose(one.data, modality(other.data), atol=1e-5)


def test_an_encoder_that_says_no_number_is_refused(encoder, tmp_path: Path) -> None:
    """Nothing of it is kept."""
    torch.nn.init.constant_(encoder.net.out.bias, torch.nan)
    keys, arrays = contents(2)
    with pytest.raises(CheckpointError, match="not finite"):
        encode_once(encoder, keys, arrays.__getitem__, tmp_path)
    assert not [*tmp_path.rglob("*.parquet")]
