"""Files -> arrays: known by their first bytes, whole or set aside for a reason, never half-decoded."""

from __future__ import annotations

import io
import random
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tawt.contracts.reasons import REASONS
from tawt.errors import StageError
from tawt.modalities.decode import as_content, kind_of, opened
from tawt.modalities.source import MOST_PIXELS, UnreadableError

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")
RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (9, 7), np.uint8)
COLOUR = RNG.integers(0, 256, (16, 24, 3), np.uint8)
WIDE = RNG.integers(0, 65536, (6, 5), np.uint16)


def decoded(path: Path, modality: str = "image", member: str | None = None, row: int | None = None) -> NDArray[Any]:
    with opened(path) as (_, source):
        return as_content(source.array(modality, member, row), modality)


def fault(path: Path, modality: str = "image", member: str | None = None, row: int | None = None) -> str:
    """Why a file cannot be used, a word that is explained."""
    with pytest.raises(UnreadableError) as told:
        decoded(path, modality, member, row)
    assert told.value.fault in REASONS
    return told.value.fault


def saved(path: Path, picture: Any, kind: str, **options: Any) -> Path:
    picture.save(path, format=kind, **options)
    return path


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_what_is_stored_without_loss_comes_back_as_it_is(tmp_path: Path, kind: str) -> None:
    """Grey, colour, one pixel, transparency, palettes, bits and 16 bits keep every sample; a wrong suffix changes nothing."""
    path = tmp_path / "scan.jpg"
    for array in (GREY, GREY[:1, :1], WIDE):
        assert np.array_equal(decoded(saved(path, Image.fromarray(array), kind))[:, :, 0], array)
    assert np.array_equal(decoded(saved(path, Image.fromarray(COLOUR), kind)), COLOUR)
    clear = np.dstack([COLOUR, RNG.integers(0, 256, COLOUR.shape[:2], np.uint8)])
    assert np.array_equal(decoded(saved(path, Image.fromarray(clear), kind)), COLOUR)
    grey_clear = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(255 - GREY)])
    assert np.array_equal(decoded(saved(path, grey_clear, kind))[:, :, 0], GREY)
    bits = GREY > 100
    assert np.array_equal(decoded(saved(path, Image.fromarray(bits), kind))[:, :, 0], bits * 255)
    palette = Image.fromarray(COLOUR).quantize(8)
    assert np.array_equal(decoded(saved(path, palette, kind)), np.asarray(palette.convert("RGB")))


def test_jpeg_of_every_colour_space_is_read_and_stands_upright(tmp_path: Path) -> None:
    """Smooth colours survive RGB, CMYK and grey; what the camera says of up and down is done."""
    ramp = np.linspace(0, 255, 64)
    smooth = np.stack([*np.meshgrid(ramp, ramp[:32]), np.full((32, 64), 90.0)], -1).astype(np.uint8)
    for mode in ("RGB", "CMYK", "YCbCr"):
        found = decoded(saved(tmp_path / "a", Image.fromarray(smooth).convert(mode), "JPEG", quality=95))
        assert found.shape == smooth.shape and np.abs(found.astype(int) - smooth).mean() < 4
    grey = decoded(saved(tmp_path / "a", Image.fromarray(smooth[:, :, 0]), "JPEG", quality=95))
    assert grey.shape == (32, 64, 1) and np.abs(grey[:, :, 0].astype(int) - smooth[:, :, 0]).mean() < 2
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = decoded(saved(tmp_path / "a", Image.fromarray(smooth[:, :, 0]), "JPEG", quality=95, exif=turned))
    assert np.array_equal(upright[:, :, 0], np.rot90(grey[:, :, 0], -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_file_that_was_cut_off_is_never_half_decoded(tmp_path: Path, kind: str) -> None:
    """Wherever the end is missing, one byte or nearly all, there is no array."""
    whole = saved(tmp_path / "whole", Image.fromarray(COLOUR), kind).read_bytes()
    path = tmp_path / "cut"
    for n in {*range(1, 30), *random.Random(1).sample(range(30, len(whole)), 40), len(whole)}:
        path.write_bytes(whole[:-n])
        assert fault(path) in ("truncated", "damaged", "unknown_format")
    path.write_bytes(whole[: len(whole) // 2])
    assert fault(path) == "truncated"


def test_bits_that_would_be_lost_are_refused(tmp_path: Path) -> None:
    """Colours of 16 bits and numbers of 32 have no place in what is stored: they are set aside and not cut."""
    header = b"IHDR" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    parts = [header, b"IDAT" + zlib.compress(bytes(1 + 12)), b"IEND"]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        (len(p) - 4).to_bytes(4, "big") + p + zlib.crc32(p).to_bytes(4, "big") for p in parts
    )
    path = tmp_path / "a"
    path.write_bytes(png)
    assert Image.open(path).mode == "RGB" and fault(path) == "unsupported_samples"
    assert (
        fault(saved(path, Image.fromarray(RNG.normal(size=(3, 3)).astype(np.float32)), "TIFF")) == "unsupported_samples"
    )
    assert fault(saved(path, Image.fromarray(np.full((3, 3), 70_000, np.int32)), "TIFF")) == "unsupported_samples"


def test_a_few_bytes_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    """An image that says it is larger than any is not decoded, whatever its size is on disk."""
    side = int(MOST_PIXELS**0.5) + 1
    for n in (side, 4 * side):
        path = saved(tmp_path / "a", Image.new("1", (side, n)), "PNG")
        assert path.stat().st_size < 1 << 20 and fault(path) == "too_large"


def test_frames_are_asked_for_by_number(tmp_path: Path) -> None:
    """Of a file of several, a record says which; one that is not there is none."""
    several = [Image.fromarray(GREY), Image.fromarray(GREY.T)]
    path = saved(tmp_path / "a", several[0], "TIFF", save_all=True, append_images=several[1:])
    assert [decoded(path, row=i).shape for i in (0, 1)] == [(9, 7, 1), (7, 9, 1)]
    assert fault(path) == "which_not_said" and fault(path, row=2) == fault(path, row=-1) == "not_in_file"
    assert decoded(saved(path, several[0], "PNG"), row=0).shape == (9, 7, 1)
    assert fault(path, modality="waveform") == "wrong_modality" and fault(path, member="x") == "not_in_file"


def test_frames_that_nobody_asks_for_are_not_walked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file in which thousands of frames follow one another, no more are looked at than up to the one that is meant."""
    tiff = pytest.importorskip("PIL.TiffImagePlugin")
    one = saved(tmp_path / "a", Image.fromarray(GREY), "TIFF").read_bytes()
    at = int.from_bytes(one[4:8], "little")
    end = at + 2 + 12 * int.from_bytes(one[at : at + 2], "little")
    begins = [len(one) + i * (end + 4 - at) for i in range(3000)]
    frames = [one[at:end] + follows.to_bytes(4, "little") for follows in (*begins[1:], 0)]
    (tmp_path / "a").write_bytes(one[:end] + begins[0].to_bytes(4, "little") + one[end + 4 :] + b"".join(frames))
    read, load = [], tiff.ImageFileDirectory_v2.load
    monkeypatch.setattr(tiff.ImageFileDirectory_v2, "load", lambda self, file: read.append(load(self, file)))
    assert fault(tmp_path / "a") == "which_not_said" and np.array_equal(decoded(tmp_path / "a", row=2)[:, :, 0], GREY)
    assert len(read) < 20
    assert fault(tmp_path / "a", row=3001) == "not_in_file" and decoded(tmp_path / "a", row=3000).shape == (9, 7, 1)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_tiff_whose_parts_do_not_cover_it_is_not_filled_up(tmp_path: Path, mode: str) -> None:
    """One that says it is higher than what is there, or of lower strips than it has places of, is no image with black
    below; colours that lie apart are an image as they are."""
    path = saved(tmp_path / "a", Image.fromarray(GREY).convert(mode), "TIFF")
    assert decoded(path).shape[:2] == GREY.shape
    whole = path.read_bytes()
    for height, number in ((257, 96), (278, 4)):
        at = whole.index(height.to_bytes(2, "little") + b"\4\0\1\0\0\0")
        path.write_bytes(whole[: at + 8] + number.to_bytes(4, "little") + whole[at + 12 :])
        assert fault(path) == "truncated"


def test_what_is_no_image_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    """Texts, archives of other things, other formats and nothing at all are set aside, whatever they are called."""
    path = tmp_path / "image.png"
    for content in (b"no image", b"GIF89a", b"%PDF-1.7", b"\x1f\x8b\x08", bytes(200)):
        path.write_bytes(content)
        assert fault(path) == "unknown_format"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.png", b"x")
    assert fault(path) == "unknown_format"
    path.write_bytes(b"")
    assert fault(path) == "truncated" and kind_of(b"\x89PNG\r\n\x1a\n") == "png"


def test_a_collection_hands_out_rows_in_any_order(tmp_path: Path) -> None:
    """Each row of an npz or npy is what numpy reads there, of one member among several, forwards and back."""
    some, other = RNG.integers(0, 256, (30, 5, 4), np.uint8), RNG.integers(0, 65536, (7, 3, 3, 3), np.uint16)
    np.savez_compressed(tmp_path / "a.npz", some=some, other=other)
    np.save(tmp_path / "b.npy", some)
    with opened(tmp_path / "a.npz") as (kind, source):
        for row in (0, 1, 7, 3, 29, 0):
            assert np.array_equal(as_content(source.array("image", "some", row), "image")[:, :, 0], some[row])
            assert np.array_equal(source.array("image", "other", row % 7), other[row % 7])
    assert kind == "npz" and np.array_equal(decoded(tmp_path / "b.npy", row=4)[:, :, 0], some[4])
    assert fault(tmp_path / "a.npz", row=1) == "which_not_said"
    assert fault(tmp_path / "a.npz", member="none", row=1) == fault(tmp_path / "b.npy", row=30) == "not_in_file"
    assert fault(tmp_path / "a.npz", member="other") == "wrong_shape"
    np.save(tmp_path / "b.npy", np.asfortranarray(some[0]))
    assert np.array_equal(decoded(tmp_path / "b.npy")[:, :, 0], some[0])


def test_nothing_in_a_collection_is_ever_run(tmp_path: Path) -> None:
    """Objects, texts, structures and floating images are refused by their header, before a byte of them is read."""
    path = tmp_path / "a.npy"
    for array in (
        np.array([{}], object),
        np.array(["a"]),
        np.zeros(3, "i4,f4"),
        np.zeros((2, 2)),
        np.zeros((2, 2), int),
    ):
        with path.open("wb") as file:
            np.lib.format.write_array(file, array)
        assert fault(path) == "unsupported_samples"
    claims = io.BytesIO()
    np.lib.format.write_array_header_1_0(claims, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 20)})
    path.write_bytes(claims.getvalue())
    assert fault(path) == "too_large" and fault(path, row=3) == "truncated"


def test_a_collection_that_is_broken_hands_out_nothing(tmp_path: Path) -> None:
    """A flipped bit of a packed array is found before any row of it is used; so is a missing end."""
    path = tmp_path / "a.npz"
    np.savez(path, some=RNG.integers(0, 256, (20, 64, 64), np.uint8))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) - 400] ^= 4
    path.write_bytes(changed)
    assert fault(path, row=0) == "damaged"
    path.write_bytes(whole[:-100])
    assert fault(path, row=0) == "truncated"
    np.save(tmp_path / "b.npy", RNG.integers(0, 256, (20, 8, 8), np.uint8))
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:-1])
    assert fault(tmp_path / "b.npy", row=19) == "truncated" and decoded(tmp_path / "b.npy", row=18).shape == (8, 8, 1)


@pytest.mark.parametrize(
    "shape", [(1,) * 100, (0, 10**30), (0, 2**62, 8), (True, True)], ids=lambda shape: str(shape)[:20]
)
def test_a_shape_that_no_array_has_is_a_fault(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Of the whole array and of a row: nothing else is raised, so that no other file waits for it."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode() + b"\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + b"a")
    assert {fault(path), fault(path, row=0)} == {"unsupported_samples"}


def test_a_collection_whose_list_lies_is_a_fault(tmp_path: Path) -> None:
    """A list that begins before the file, and one that wants a newer reader."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros((2, 3, 3), np.uint8))
    whole = path.read_bytes()
    end, listed = whole.index(b"PK\5\6"), whole.index(b"PK\1\2")
    start = int.from_bytes(whole[end + 16 : end + 20], "little")
    before = whole[: end + 16] + (start + 50).to_bytes(4, "little") + whole[end + 20 :]
    newer = whole[: listed + 6] + bytes([99]) + whole[listed + 7 :]
    for content, word in ((before, "damaged"), (newer, "unsupported_compression")):
        path.write_bytes(content)
        assert fault(path) == word


@pytest.mark.parametrize(("n_more", "word"), [(1, "damaged"), (1 << 24, "damaged"), (-1, "truncated")])
def test_an_array_of_another_size_than_it_says_is_not_unpacked(tmp_path: Path, n_more, word, monkeypatch) -> None:
    """What a collection says of a member is held to the member's own header, so that no few bytes cost minutes."""
    whole = io.BytesIO()
    np.save(whole, np.zeros((4, 4), np.uint8))
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("a.npy", "w") as member:
        member.write(whole.getvalue()[:-1] if n_more < 0 else whole.getvalue())
        for _ in range(max(n_more, 0) // (1 << 20)):
            member.write(bytes(1 << 20))
        member.write(bytes(max(n_more, 0) % (1 << 20)))
    read, plain = [], zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda file, n=-1: read.append(plain(file, n)) or read[-1])
    assert fault(path) == fault(path, row=0) == word
    assert sum(map(len, read)) < 1000


def test_waveforms_are_float32_of_samples_and_leads(tmp_path: Path) -> None:
    """Numbers of any type become float32; one lead is a column; what is not finite is refused."""
    path = tmp_path / "a.npy"
    for array in (RNG.normal(size=50), RNG.integers(-9, 9, (50, 12)), RNG.normal(size=(50, 2)).astype(">f4")):
        np.save(path, array)
        found = decoded(path, "waveform")
        assert found.dtype == np.float32 and np.array_equal(found, array.reshape(50, -1).astype(np.float32))
    for array, why in ((np.zeros((2, 2, 2)), "wrong_shape"), (np.array([0.0, np.nan]), "not_finite"), (np.array([1e300]), "not_finite"),
                       (np.zeros((0, 3)), "wrong_shape"), (np.zeros(3, bool), "unsupported_samples")):  # fmt: skip
        np.save(path, array)
        assert fault(path, "waveform") == why


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Pillow an image ends the stage with what to install; it is not set aside as a bad one."""
    path = saved(tmp_path / "a", Image.fromarray(GREY), "PNG")
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(StageError, match="Pillow cannot be imported") as told:
        decoded(path)
    assert told.value.hint == 'pip install "tawt[images]"'
