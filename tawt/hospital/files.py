"""The raw tables of the invented hospital as `csv.gz`, the same bytes for the same rows."""

from __future__ import annotations

import csv
import gzip
import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tawt.files import whole

COLUMNS: dict[str, tuple[str, ...]] = {
    table: tuple(columns.split())
    for table, columns in {
        "hosp/patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
        "hosp/admissions": (
            "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id "
            "admission_location discharge_location insurance language marital_status race edregtime "
            "edouttime hospital_expire_flag"
        ),
        "hosp/labevents": (
            "labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime "
            "value valuenum valueuom ref_range_lower ref_range_upper flag priority comments"
        ),
        "hosp/diagnoses_icd": "subject_id hadm_id seq_num icd_code icd_version",
        "hosp/d_labitems": "itemid label fluid category",
        "hosp/d_icd_diagnoses": "icd_code icd_version long_title",
        "icu/icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
        "icu/chartevents": (
            "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom warning"
        ),
        "icu/d_items": (
            "itemid label abbreviation linksto category unitname param_type lownormalvalue highnormalvalue"
        ),
        "images/manifest": "subject_id time available_time path kind",
    }.items()
}
"""Every table that is written, with the columns of MIMIC-IV; that of images is a table of tawt's own."""


def write_table(out: Path, table: str, rows: Iterable[Sequence[object]]) -> int:
    """Write one table under `out` and return its number of records; the file appears once it is whole."""
    path = out / f"{table}.csv.gz"
    n_rows = 0

    def counted() -> Iterable[Sequence[object]]:
        nonlocal n_rows
        for row in rows:
            n_rows += 1
            yield row

    # No name and no time in the gzip header: both would make equal tables differ in bytes.
    with (
        whole(path) as aside,
        aside.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=4, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS[table])
        writer.writerows(counted())
    return n_rows


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a grey picture `(height, width)` as a PNG file.

    Source: W3C, Portable Network Graphics (PNG) Specification, third edition, chapters 5 and 11
    """
    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # 0: the row is as it is
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(of)) + name + of + struct.pack(">I", zlib.crc32(name + of)) for name, of in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
