"""DICOM as it is meant to be seen: against pydicom's own windows, and with nothing of a header but what is on the list."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tawt.modalities.decode import as_content, opened
from tawt.modalities.dicom import READ
from tawt.modalities.source import UnreadableError

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")
pydicom = pytest.importorskip("pydicom", reason="the extra `images` is not installed")
RNG = np.random.default_rng(2)


def write_dicom(path: Path, pixels: NDArray[Any], **header: Any) -> Path:
    """Write pixels `(rows, columns)`, with frames before or colours behind; the header says more or other than usual."""
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    meta.TransferSyntaxUID = header.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    made = pydicom.Dataset()
    made.file_meta = meta
    bits = pixels.dtype.itemsize * 8
    usual = {
        "Rows": pixels.shape[-2] if pixels.shape[-1] != 3 else pixels.shape[-3],
        "Columns": pixels.shape[-1] if pixels.shape[-1] != 3 else pixels.shape[-2],
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": bits, "BitsStored": bits,
        "HighBit": (header.get("BitsStored") or bits) - 1, "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes() + bytes(pixels.nbytes % 2),
    }  # fmt: skip
    for name, value in {**usual, **header}.items():
        if value is not None:
            setattr(made, name, value)
    if "PixelData" in made:
        made["PixelData"].VR = "OW"
    made.save_as(path, enforce_file_format=True)
    return path


def decoded(path: Path, row: int | None = None) -> NDArray[Any]:
    with opened(path) as (kind, source):
        assert kind == "dicom"
        return as_content(source.array("image", None, row), "image")


def fault(path: Path, row: int | None = None) -> str:
    with pytest.raises(UnreadableError) as told:
        decoded(path, row)
    return told.value.fault


WINDOWS = [
    {}, {"WindowCenter": 40, "WindowWidth": 400}, {"WindowCenter": [600, 1], "WindowWidth": [1200, 2]},
    {"WindowCenter": 100.5, "WindowWidth": 1}, {"WindowCenter": 50, "WindowWidth": 350, "VOILUTFunction": "LINEAR_EXACT"},
    {"WindowCenter": 50, "WindowWidth": 350, "VOILUTFunction": "SIGMOID"},
]  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_grey_is_what_pydicom_shows_of_it(tmp_path: Path, window: dict[str, Any], bits: int, signed: bool) -> None:
    """Rescaled and windowed as pydicom does it, stretched from black to white; MONOCHROME1 is the other way round."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    dtype = np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    pixels = RNG.integers(low, high + 1, (6, 9)).astype(dtype)
    pixels[0] = RNG.integers(max(low, 60), min(high, 700) + 1, 9)  # of which windows show something
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -1024 if bits > 8 else 3}
    path = write_dicom(tmp_path / "a.png", pixels, BitsStored=bits, **rescale, **window)
    theirs = pydicom.dcmread(path)
    value = pydicom.pixels.apply_rescale(pixels, theirs)
    if window:
        value = pydicom.pixels.apply_windowing(value, theirs)
    bottom, top = low * 2 + rescale["RescaleIntercept"], high * 2 + rescale["RescaleIntercept"]
    full = 255 if bits == 8 else 65535
    found = decoded(path)[:, :, 0]
    assert found.dtype == (np.uint8 if bits == 8 else np.uint16) and len(np.unique(found)) > 1
    assert np.abs(found - (value - bottom) / (top - bottom) * full).max() <= 0.51
    path = write_dicom(
        tmp_path / "b", pixels, BitsStored=bits, **rescale, **window, PhotometricInterpretation="MONOCHROME1"
    )
    assert np.abs(decoded(path)[:, :, 0].astype(int) - (full - found.astype(int))).max() <= 1  # of a half


def test_bits_beside_those_that_are_stored_tell_nothing(tmp_path: Path) -> None:
    """An overlay in the upper four bits of a CT is no part of it, with a sign or without."""
    pixels = RNG.integers(0, 1 << 12, (5, 5)).astype(np.uint16)
    plain = decoded(write_dicom(tmp_path / "a", pixels, BitsStored=12))
    assert np.array_equal(decoded(write_dicom(tmp_path / "b", pixels | 0x9000, BitsStored=12)), plain)
    signed = decoded(
        write_dicom(tmp_path / "a", ((pixels.astype(np.int32) << 20) >> 20).astype(np.int16), BitsStored=12)
    )
    assert np.array_equal(decoded(write_dicom(tmp_path / "b", pixels.astype(np.int16), BitsStored=12)), signed)


def test_colour_frames_and_what_is_refused(tmp_path: Path) -> None:
    """RGB comes back; of several frames the record says which; the rest is refused, each for its own reason."""
    path, grey = tmp_path / "a", RNG.integers(0, 256, (4, 6), np.uint8)
    colour = RNG.integers(0, 256, (4, 6, 3), np.uint8)
    rgb = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    assert np.array_equal(decoded(write_dicom(path, colour, **rgb)), colour)
    frames = RNG.integers(0, 256, (3, 4, 6), np.uint8)
    write_dicom(path, frames, NumberOfFrames=3)
    assert np.array_equal(decoded(path, 2)[:, :, 0], frames[2])
    assert fault(path) == "which_not_said" and fault(path, 3) == "not_in_file"
    refused = {
        "unsupported_photometric": {"PhotometricInterpretation": "PALETTE COLOR"},
        "unsupported_samples": {"HighBit": 6},
        "unsupported_lut": {"WindowCenter": 1, "WindowWidth": 0},
        "too_large": {"Rows": 60_000, "Columns": 60_000},
        "truncated": {"Rows": 5},
        "no_pixels": {"PixelData": None},
        "damaged": {"PhotometricInterpretation": None},
    }
    assert {fault(write_dicom(path, grey, **header)): header for header in refused.values()} == refused
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000MC, JPEGBaseline8Bit

    shades, smooth = io.BytesIO(), np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8)
    Image.fromarray(smooth).save(shades, "JPEG")
    write_dicom(path, smooth, TransferSyntaxUID=JPEGBaseline8Bit, PixelData=encapsulate([shades.getvalue()]))
    assert np.array_equal(decoded(path)[:, :, 0], np.asarray(Image.open(shades)))
    write_dicom(
        path, np.asarray(Image.fromarray(colour).convert("YCbCr")), **rgb | {"PhotometricInterpretation": "YBR_FULL"}
    )
    assert np.abs(decoded(path).astype(int) - colour).max() <= 3

    packed = {"TransferSyntaxUID": JPEG2000MC, "PixelData": encapsulate([b"\xff\x4f\xff\x51"])}
    assert fault(write_dicom(path, grey, **packed)) == "unsupported_compression"
    whole = write_dicom(path, grey).read_bytes()
    for n in (1, 10, len(whole) - 140):
        path.write_bytes(whole[:-n])
        assert fault(path) in ("truncated", "no_pixels", "damaged")


@pytest.mark.filterwarnings("ignore:Unknown encoding")  # of what writes it
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 8, "WindowWidth": 16}], ids=["no window", "window"])
@pytest.mark.parametrize(
    "rescale", [{"RescaleSlope": "nan"}, {"RescaleSlope": 0}, {"RescaleIntercept": "inf"}], ids=str
)
def test_a_rescale_that_is_no_number_is_refused(tmp_path: Path, rescale: Any, window: Any) -> None:
    """It would be stored as black, or turned over."""
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    with pydicom.config.disable_value_validation():
        path = write_dicom(
            tmp_path / "a.dcm", pixels, **{"RescaleIntercept": 0, "RescaleSlope": 1, **rescale}, **window
        )
    assert fault(path) == "not_finite"


def test_what_is_packed_as_a_whole_is_not_unpacked(tmp_path: Path) -> None:
    """Nobody knows how much it would become."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    pixels = np.zeros((4, 4), np.uint8)
    path = write_dicom(tmp_path / "a.dcm", pixels, TransferSyntaxUID=DeflatedExplicitVRLittleEndian)
    assert fault(path) == "unsupported_compression"
    # nor where something long stands before the header says so
    longer = path.read_bytes().replace(b"1.2.840.10008.5.1.4.1.1.7\0", b"1.2" + bytes(9997))
    path.write_bytes(longer.replace(b"UI\x1a\0" + b"1.2\0", b"UI\x10\x27" + b"1.2\0"))
    assert path.read_bytes() != longer and fault(path) == "unsupported_compression"
    # an image that names that way of packing elsewhere is read
    pixels = RNG.integers(0, 256, (4, 4), np.uint8)
    named = write_dicom(tmp_path / "b.dcm", pixels, AvailableTransferSyntaxUID=DeflatedExplicitVRLittleEndian)
    assert np.array_equal(decoded(named)[:, :, 0], pixels)


def test_nothing_of_a_header_is_read_but_what_is_on_the_list(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No name, number or date of a person is on the list, and cells that pydicom would remark on are never quoted."""
    assert not [name for name in READ if any(word in name for word in ("Name", "Date", "Time", "ID", "Patient", "UID"))]
    odd = {
        "PatientName": "CANARY^PERSON",
        "PatientID": "CANARY77",
        "PatientBirthDate": "CANARYDT",
        "StudyDate": "CANARY",
        "WindowCenter": "40",
        "WindowWidth": "80",
    }
    with pydicom.config.disable_value_validation():
        path = write_dicom(tmp_path / "a", RNG.integers(0, 256, (4, 6), np.uint8), SpecificCharacterSet="CANARY", **odd)
    assert b"CANARY^PERSON" in path.read_bytes()
    capfd.readouterr()
    assert b"CANARY" not in decoded(path).tobytes()
    assert capfd.readouterr() == ("", "")
