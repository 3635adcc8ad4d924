"""A command that is killed at any act on the file system is made good by the same command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tawt.hospital.invent import write_hospital

HELPER = Path(__file__).with_name("killed.py")
LIMITS = "threads=1, memory_limit='500MB'"
LABS = (
    "off=[staging.icustays, event_parts.icustays, staging.d_items, codes.chart, staging.chartevents, event_parts.chart, "
    "staging.d_icd_diagnoses, codes.diagnoses, staging.diagnoses_icd, event_parts.diagnoses, event_parts.lab_specimens]"
)
"""With laboratory results alone: each kind of stage is there once."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The laboratory results of a hospital of ten subjects, ingested; once more with `keep: last`."""
    import tawt

    folder = tmp_path_factory.mktemp("small")
    write_hospital(folder / "raw", n_subjects=10, seed=2)
    for name, settings in (("ingested", (LABS,)), ("light", (LABS, "keep=last"))):
        tawt.ingest(folder / "raw", "demo", folder / name, threads=1, memory_limit="500MB", settings=settings)
    return folder


@pytest.mark.parametrize(
    ("before", "points", "calls"),
    [
        ("ingested", 4, f"tawt.ingest(RAW, 'demo', w, settings=('{LABS}', 'splits.seed=5'), {LIMITS})"),
        ("ingested", 3, f"tawt.build_vocab(w, settings=('vocabulary.min_count=2',), {LIMITS})"),
        ("ingested", 4, f"tawt.run('staging.labevents', w, force=True, {LIMITS})"),
        ("ingested", 8, f"tawt.ingest(RAW, 'demo', w, settings=('{LABS}', 'keep=last'), {LIMITS})"),
        ("light", 6, f"tawt.ingest(RAW, 'demo', w, settings=('{LABS}', 'keep=last', 'splits.seed=5'), {LIMITS})"),
    ],
    ids=["ingest", "build_vocab", "run", "let_go", "make_again"],
)
def test_a_command_killed_at_any_act_is_made_good_by_the_next(
    small: Path, tmp_path: Path, before: str, points: int, calls: str
) -> None:
    """Ended before its n-th rename, flush or removal, for some n from the first to the last: `check` finds nothing mixed, and
    the same command again ends in the bytes of an undisturbed one and leaves nothing aside."""
    calls = calls.replace("RAW", repr(str(small / "raw")))
    said = subprocess.run(
        [sys.executable, HELPER, small / before, tmp_path, str(points), calls],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert said[:-1] == [] and int(said[-1].split()[0]) >= points - 1
