"""What all of MIMIC-IV 3.1 would take by what a run took: a projection, not a measurement."""

from __future__ import annotations

from collections.abc import Iterator

ROWS = {
    "patients": 364_627, "admissions": 546_028, "labevents": 158_374_764, "diagnoses_icd": 6_364_488, "icustays": 94_458,
    "chartevents": 432_997_491,
}  # fmt: skip
"""Of version 3.1. source: MIT-LCP/mimic-code, mimic-iv/buildmimic/mysql/validate.sql"""
PUBLISHED = (
    "MIMIC-IV-MEDS 0.2.0 tells of itself, without tensors: 32 min, 20.3 GB of memory, 15 GB left on disk, on 20 cores of which 3.5 to 4 were "
    "busy, of all the tables that it reads and with an event for each specimen too"
)  # fmt: skip


def project(name: str, n_records: int, cpu_seconds: float, written: int, left: int) -> Iterator[str]:
    """Say what a job would take, if it took as much for each record."""
    times = sum(ROWS.values()) / n_records
    hours = cpu_seconds * times / 3600
    yield (
        f"{name}: {cpu_seconds / n_records * 1e6:.1f} CPU s for a million records, {hours:.1f} CPU h in all "
        f"({hours * 60 / 4:.0f} min if 4 cores were busy throughout); {written / n_records:.0f} bytes written and "
        f"{left / n_records:.0f} left of a record: {written * times / 1e9:.0f} GB and {left * times / 1e9:.0f} GB"
    )
