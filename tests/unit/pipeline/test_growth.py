"""A workspace that grows, file by file, is the one that is made at once; what is there of before is not made again."""

from __future__ import annotations

import csv
import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import tawt
from tawt.pipeline import pieces
from tests.unit.pipeline.test_stability import hashes

KILLED = Path(__file__).with_name("killed.py")
QUICK = {"threads": 1, "memory_limit": "500MB"}
SHARDS = ("shards=2",)
N_STEPS = 5
OF_SUBJECTS = (
    "hosp/patients",
    "hosp/admissions",
    "hosp/diagnoses_icd",
    "hosp/labevents",
    "icu/icustays",
    "icu/chartevents",
)


@pytest.fixture(scope="module")
def in_steps(hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw tables of the hospital, those of subjects as five files each: a fifth of the subjects in every one, and in the
    last a few records of those of the first."""
    raw = tmp_path_factory.mktemp("steps") / "raw"
    for path in sorted(hospital.raw.rglob("*.csv.gz")):
        name = path.relative_to(hospital.raw).as_posix().removesuffix(".csv.gz")
        if name not in OF_SUBJECTS:
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, raw / f"{name}.csv.gz")
            continue
        with gzip.open(path, "rt", newline="") as file:
            header, *rows = list(csv.reader(file))
        place = header.index("subject_id")
        groups: list[list[list[str]]] = [[] for _ in range(N_STEPS)]
        for n, row in enumerate(rows):
            late = name == "hosp/labevents" and n % 50 == 0
            groups[-1 if late else hash_of(row[place] if len(row) > place else "") % N_STEPS].append(row)
        (raw / name).mkdir(parents=True)
        for i, group in enumerate(groups):
            with gzip.open(raw / name / f"part-{i:02d}.csv.gz", "wt", newline="") as file:
                csv.writer(file).writerows([header, *group])
    return raw


def hash_of(text: str) -> int:
    return sum(map(ord, text)) * 7919


@pytest.fixture(autouse=True)
def each_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the small files of a test are pieces of their own."""
    monkeypatch.setattr(pieces, "SMALL", 1)


def up_to(raw: Path, n: int, place: Path) -> Path:
    """The first files of every table alone."""
    shutil.rmtree(place, ignore_errors=True)
    for path in sorted(path for path in raw.rglob("*.csv.gz")):
        if not path.name.startswith("part-") or int(path.name[5:7]) < n:
            (place / path.relative_to(raw)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place / path.relative_to(raw))
    return place


@pytest.fixture(scope="module")
def of_all(in_steps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an ingest of all files at once gives; to be copied."""
    work = tmp_path_factory.mktemp("of_all") / "w"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SMALL", 1)
        tawt.ingest(in_steps, "demo", work, settings=SHARDS, **QUICK)
    return work


@pytest.fixture(scope="module")
def of_two(in_steps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ingest of the first two files, `w`, and these, `raw`; to be copied."""
    folder = tmp_path_factory.mktemp("of_two")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SMALL", 1)
        tawt.ingest(up_to(in_steps, 2, folder / "raw"), "demo", folder / "w", settings=SHARDS, **QUICK)
    return folder


def built(raw: Path, work: Path, **how: object) -> tuple[tawt.RunResult, tawt.RunResult]:
    """Ingest, and build."""
    return tawt.ingest(raw, "demo", work, settings=SHARDS, **QUICK), tawt.build_vocab(work, **QUICK, **how)  # type: ignore[arg-type]


def test_steps_of_growth_give_the_bytes_of_one(in_steps: Path, of_all: Path, tmp_path: Path) -> None:
    """New subjects and later records of old ones, five files of each table one after another: events, vocabulary, triplets,
    dataset, quarantine and ledger are those of all files at once, and staging and event parts have their rows."""
    for n in (1, 3, N_STEPS):
        built(up_to(in_steps, n, tmp_path / "raw"), tmp_path / "grown")
    shutil.copytree(of_all, tmp_path / "once")
    tawt.build_vocab(tmp_path / "once", **QUICK)
    grown, once = hashes(tmp_path / "grown"), hashes(tmp_path / "once")
    assert grown == once and len(once) > 30
    for path in sorted((tmp_path / "once").glob("staging/*/*.parquet")):
        assert pq.read_table(path).equals(pq.read_table(tmp_path / "grown" / path.relative_to(tmp_path / "once")))
    assert [finding for finding in tawt.check(tmp_path / "grown") if not finding.ok] == []


def test_growth_of_what_was_let_go_gives_the_same(in_steps: Path, of_all: Path, tmp_path: Path) -> None:
    """With `keep: last` staging and event parts are made again of all files, and what stays is that of all files at once."""
    grown, once = tmp_path / "grown", tmp_path / "once"
    for n in (2, N_STEPS):
        tawt.ingest(up_to(in_steps, n, tmp_path / "raw"), "demo", grown, settings=(*SHARDS, "keep=last"), **QUICK)
        tawt.build_vocab(grown, **QUICK)
    shutil.copytree(of_all, once)
    tawt.build_vocab(once, **QUICK)
    assert hashes(grown) == {name: one for name, one in hashes(once).items() if not name.startswith("triplets/")}
    assert [finding for finding in tawt.check(grown) if not finding.ok] == [] and not list(grown.glob("staging/*"))


def test_a_new_file_is_read_alone(in_steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each table the files of before are taken as they were staged, also of event parts that tell each record by itself;
    a file that comes before them moves the numbers of their records, and all are read again."""
    read: list[tuple[str, str]] = []
    made = pieces._made

    def heard(piece: pieces.Piece, n_before: int, folder: Path, read_: Callable) -> dict:
        read.append((piece.bound.stage.name, piece.name))
        return made(piece, n_before, folder, read_)

    monkeypatch.setattr(pieces, "_made", heard)
    raw = up_to(in_steps, 2, tmp_path / "raw")
    built(raw, tmp_path / "w")
    inode = (tmp_path / "w/staging/labevents/part-00001-0.parquet").stat().st_ino
    read.clear()
    shutil.copy2(in_steps / "hosp/labevents/part-03.csv.gz", raw / "hosp/labevents/part-03.csv.gz")
    built(raw, tmp_path / "w")
    assert read == [("staging.labevents", "00002"), ("event_parts.labs", "00002")]
    assert (tmp_path / "w/staging/labevents/part-00001-0.parquet").stat().st_ino == inode
    read.clear()
    shutil.copy2(in_steps / "hosp/labevents/part-04.csv.gz", raw / "hosp/labevents/part-00a.csv.gz")
    built(raw, tmp_path / "w")
    assert ("staging.labevents", "00000") not in read and {("staging.labevents", f"0000{i}") for i in range(1, 4)} <= {
        *read
    }
    built(raw, tmp_path / "once")
    assert hashes(tmp_path / "w") == hashes(tmp_path / "once")


def test_a_frozen_vocabulary_stays_as_it_is_when_records_come(in_steps: Path, of_all: Path, tmp_path: Path) -> None:
    """`build-vocab --freeze` keeps it to the last bit, tells how far the new records lie from it, and stays so at the next
    build; the same records at once in the same vocabulary give the same bytes; `--anew` fits it to all."""
    from tawt.commands.build_vocab import kept

    built(up_to(in_steps, 2, tmp_path / "raw"), tmp_path / "w")
    before = (tmp_path / "w/vocabulary/vocabulary.parquet").read_bytes()
    shutil.copy(tmp_path / "w/vocabulary/vocabulary.parquet", tmp_path / "first.parquet")
    built(up_to(in_steps, 4, tmp_path / "raw"), tmp_path / "w", freeze=True)
    _, result = built(in_steps, tmp_path / "w")
    assert (tmp_path / "w/vocabulary/vocabulary.parquet").read_bytes() == before
    told = kept(result.workspace)
    assert told is not None and told.kept and told.drift and told.n_subjects[1] == 60
    assert told.lines()[0].startswith("the vocabulary of w is kept: it knows")
    assert any(f"the {told.n_fitted:,} rows of train that it was fitted on are among" in line for line in told.lines())
    shutil.copytree(of_all, tmp_path / "once")
    tawt.build_vocab(tmp_path / "once", freeze=tmp_path / "first.parquet", **QUICK)
    assert hashes(tmp_path / "w") == hashes(tmp_path / "once")
    tawt.build_vocab(tmp_path / "w", anew=True, **QUICK)
    assert (tmp_path / "w/vocabulary/vocabulary.parquet").read_bytes() != before
    with pytest.raises(tawt.TawtError, match="ask for several"):
        tawt.build_vocab(tmp_path / "w", anew=True, freeze=True)


def test_growth_that_was_killed_is_gone_on_with(in_steps: Path, of_two: Path, tmp_path: Path) -> None:
    """Ended before its n-th act on the file system, for some n: `check` finds nothing mixed, and the same command again ends in
    the bytes of an undisturbed one."""
    raw = up_to(in_steps, 2, tmp_path / "raw")
    for name in ("labevents", "admissions"):
        shutil.copy2(in_steps / f"hosp/{name}/part-02.csv.gz", raw / f"hosp/{name}/part-02.csv.gz")
    shutil.copytree(of_two / "w", tmp_path / "before")
    alone = "setattr(__import__('tawt.pipeline.pieces', fromlist=['x']), 'SMALL', 1)"
    call = f"{alone} or tawt.ingest({str(raw)!r}, 'demo', w, settings={SHARDS!r}, threads=1, memory_limit='500MB')"
    said = subprocess.run(
        [sys.executable, KILLED, tmp_path / "before", tmp_path / "scratch", "4", call], capture_output=True, text=True, check=True
    ).stdout.splitlines()  # fmt: skip
    assert said[:-1] == [] and int(said[-1].split()[0]) >= 3


def test_a_bit_that_flipped_in_what_is_kept_is_found_before_it_is_read(
    in_steps: Path, of_two: Path, tmp_path: Path
) -> None:
    """A time of an event part that is another than the part wrote, in a file of the same size, goes into no event: the file is
    named, and made again as the hint says it leads to the bytes of all at once."""
    raw = up_to(in_steps, 2, tmp_path / "raw")
    shutil.copytree(of_two / "w", tmp_path / "w")
    path = min((tmp_path / "w/event_parts/icustays").glob("*.parquet"))
    columns = pq.ParquetFile(path).metadata.row_group(0)
    time = next(c for c in map(columns.column, range(columns.num_columns)) if c.path_in_schema == "time")
    content, before = path.read_bytes(), pq.read_table(path, partitioning=None)
    for place in reversed(range(time.data_page_offset, time.data_page_offset + time.total_compressed_size)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with suppress(OSError):
            if not pq.read_table(path, partitioning=None).equals(before):
                break
    shutil.copy2(in_steps / "hosp/labevents/part-03.csv.gz", raw / "hosp/labevents/part-03.csv.gz")
    with pytest.raises(tawt.TawtError, match="is not as it was written") as error:
        tawt.ingest(raw, "demo", tmp_path / "w", settings=SHARDS, **QUICK)
    assert path.name in str(error.value) and "event_parts.icustays" in str(error.value.hint)
    tawt.run("event_parts.icustays", tmp_path / "w", force=True, **QUICK)
    tawt.ingest(raw, "demo", tmp_path / "w", settings=SHARDS, **QUICK)
    tawt.ingest(raw, "demo", tmp_path / "once", settings=SHARDS, **QUICK)
    assert hashes(tmp_path / "w") == hashes(tmp_path / "once")
