"""`tawt review` and `tawt ratings`: a page and its key, and back again; what cannot be is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import tawt as package
from tawt.assessment.given_set import Given, given_set
from tawt.dataset.reader import open_dataset
from tawt.dataset.records import OfSplit, joined
from tawt.errors import ConfigError, DatasetError, FileError
from tawt.reviews.chosen import coins, taken
from tawt.synthesis.written import data_files
from tests.unit.conftest import Hospital

N = 12


def renamed(workspace: Path, folder: Path, every: int) -> Path:
    """A MEDS dataset of the people of a workspace under other ids, less one of so many of their events."""
    for path in data_files(workspace / "events"):
        rows = pq.read_table(path, partitioning=None)
        ids = pc.add(rows["subject_id"], pa.scalar(10**13, pa.int64()))
        rows = rows.set_column(rows.schema.get_field_index("subject_id"), "subject_id", ids)
        at = folder / path.relative_to(workspace / "events")
        at.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.filter(pa.array(np.arange(len(rows)) % every != 1)), at)
    return folder


@pytest.fixture(scope="module")
def invented(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands for invented ones: records that lack every third event."""
    return renamed(hospital.workspace, tmp_path_factory.mktemp("invented") / "m", 3)


@pytest.fixture(scope="module")
def made(hospital: Hospital, invented: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A review of train."""
    out = tmp_path_factory.mktemp("review") / "r"
    package.review(invented, hospital.workspace, out=out, n=N, split="train", seed=5)
    return out


def answered(made: Path, path: Path, rater: str = "AB", sure: bool = True) -> Path:
    """The answers of one who knows, or of one who cannot tell."""
    key = json.loads((made / "key.json").read_text())
    answers = [
        {"item": i, "invented": (5 if fake else 1) if sure else 3, "plausible": 2 if fake else 4}
        for i, fake in enumerate(key["synthetic"], 1)
    ]
    file = {"format": key["format"], "review": key["review"], "rater": rater, "saved": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps(file | {"answers": answers}))
    return path


def test_the_page_has_no_key(made: Path, hospital: Hospital, exposed) -> None:
    """Only the owner may read either; no subject's number is in the page, in the key that of each record."""
    key, page = json.loads((made / "key.json").read_text()), (made / "page.html").read_text()
    assert exposed(made) == []
    assert page.count("<article ") == N == len(key["synthetic"]) == len(key["subject_id"])
    assert 0 < sum(key["synthetic"]) < N and key["review"] in page
    ids = open_dataset(hospital.workspace).split("train").subject_ids.tolist()
    real = {one for one, fake in zip(key["subject_id"], key["synthetic"], strict=True) if not fake}
    assert real <= {*ids} and real != {*ids[: len(real)]}, "drawn, not the first ones"
    assert min(ids) > 10**5 and not [one for one in ids if str(one) in page]
    words = page[page.index("<article") :].partition("<form")[0]
    assert "synthetic" not in words and "20" + "26-" not in words


def test_equal_seeds_give_equal_pages(made: Path, invented: Path, hospital: Hospital, tmp_path: Path) -> None:
    """Byte for byte; another seed shows others in another order, and is known by another name."""
    again = package.review(invented, hospital.workspace, out=tmp_path / "a", n=N, split="train", seed=5)
    other = package.review(invented, hospital.workspace, out=tmp_path / "b", n=N, split="train", seed=6)
    for name in ("page.html", "key.json"):
        assert (again.folder / name).read_bytes() == (made / name).read_bytes()
    assert other.review != again.review


def test_a_rater_cannot_count() -> None:
    """How many are invented differs from seed to seed, never none; places are no order."""
    told = np.stack([coins(40, seed, 40, 40) for seed in range(200)])
    counts = told.sum(1)
    assert counts.min() >= 10 and counts.max() <= 30 and len({*counts.tolist()}) > 8
    assert abs(counts.mean() - 20) < 1 and (abs(told.mean(0) - 0.5) < 0.15).all()
    assert {int(coins(4, seed, 4, 4).sum()) for seed in range(50)} == {1, 2, 3}


def test_records_are_found_in_any_cohort(hospital: Hospital) -> None:
    """By their numbers and in that order, in parts or from a split."""
    split = open_dataset(hospital.workspace).split("train")
    cohort = OfSplit(split, np.arange(split.n_subjects))
    wanted = np.array([7, 2, 11])
    for one in (cohort, joined(cohort.parts())):
        found = taken(one, wanted)
        assert found.subject_id.tolist() == split.subject_ids[wanted].tolist()
        assert found.lengths.tolist() == split.lengths[wanted].tolist()


def test_what_was_told_comes_back(made: Path, tmp_path: Path, tawt) -> None:
    """One who knows has an AUC of 1, one who cannot tell of a half, in each format; files of another review are refused."""
    sure, unsure = answered(made, tmp_path / "a.json"), answered(made, tmp_path / "b.json", "CD", sure=False)
    ended = tawt("ratings", made, sure, unsure, "--format", "json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    auc = {one["rater"]: one["interval"]["value"] for one in told["measured"] if one["measure"] == "AUC"}
    assert auc == {"all": 0.75, "AB": 1.0, "CD": 0.5} and "2 raters" in ended.err
    table, rows = tawt("ratings", made, sure), tawt("ratings", made, sure, "--format", "csv")
    assert (
        "sensitivity" in table.out
        and "combination" in table.out
        and rows.out.startswith("rater,measure,value,low,high")
    )
    assert "1.000" in table.out and "0000" not in table.out, "three decimals for a person"
    key = (made / "key.json").read_text()
    sure.write_text(sure.read_text().replace(json.loads(key)["review"], "0" * 16))
    ended = tawt("ratings", made, sure)
    assert ended.code == 1 and "is of another review" in ended.error
    with pytest.raises(FileError, match=r"has no key\.json"):
        package.ratings(tmp_path, [unsure])
    (tmp_path / "key.json").write_text(key.replace("true", "false", 1))
    with pytest.raises(FileError, match="is not as it was written"):
        package.ratings(tmp_path, [unsure])
    empty = json.loads(unsure.read_text()) | {"answers": []}
    unsure.write_text(json.dumps(empty))
    with pytest.raises(FileError, match="has no rating in any file"):
        package.ratings(made, [unsure])


def test_answers_are_to_the_page_that_was_made(made: Path, tmp_path: Path) -> None:
    """One bit in the page, or in the list of hashes, and nobody knows what was rated; the page may be gone."""
    own, answers = Path(shutil.copytree(made, tmp_path / "own")), answered(made, tmp_path / "a.json")
    for name in ("page.html", "files.json", "key.json"):
        path, before = own / name, (own / name).read_bytes()
        at = len(before) // 2
        path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        with pytest.raises(FileError, match=name):
            package.ratings(own, [answers])
        path.write_bytes(before)
    (own / "page.html").unlink()
    assert package.ratings(own, [answers]) is not None
    (own / "files.json").unlink()
    with pytest.raises(FileError, match=r"files\.json"):
        package.ratings(own, [answers])


def mixed(workspace: Path, invented: Path, folder: Path, n_real: int, n: int) -> Path:
    """So many people of a workspace under other ids among others, in all."""
    shares = ((renamed(workspace, folder / "real", 10**9), n_real, 0), (invented, n - n_real, 10**14))
    rows = []
    for place, wanted, more in shares:
        table = pa.concat_tables(pq.read_table(path, partitioning=None) for path in data_files(place))
        ids = pc.add(table["subject_id"], pa.scalar(more, pa.int64()))
        table = table.set_column(table.schema.get_field_index("subject_id"), "subject_id", ids)
        chosen = pc.unique(ids).to_pylist()[:wanted]
        rows.append(table.filter(pc.is_in(ids, pa.array(chosen, pa.int64()))))
    (folder / "mixed" / "data").mkdir(parents=True)
    pq.write_table(pa.concat_tables(rows), folder / "mixed" / "data" / "0.parquet")
    return folder / "mixed"


def test_real_people_among_others_are_refused(hospital: Hospital, invented: Path, tmp_path: Path) -> None:
    """Half of a set, as one in five, is more than real people are alike, whatever the seed shows of it; none is not."""
    work = hospital.workspace
    ask = {"out": tmp_path / "r", "n": N, "split": "train", "dry_run": True}
    for n_real in (50, 25, 10):
        folder = mixed(work, invented, tmp_path / f"{n_real}", n_real, 50)
        for seed in range(2):
            with pytest.raises(ConfigError, match="under other ids"):
                package.review(folder, work, seed=seed, **ask)
    assert package.review(mixed(work, invented, tmp_path / "none", 0, 50), work, **ask).n == N


@pytest.mark.filterwarnings("error")
def test_a_set_that_is_of_something_else_is_refused_as_by_assess(
    hospital: Hospital, invented: Path, tmp_path: Path
) -> None:
    """One that says that it was learned from others, and one of which no code is known; numbers beyond all measure warn of
    nothing."""
    work, ask = hospital.workspace, {"out": tmp_path / "r", "n": N, "split": "train"}
    odd = shutil.copytree(invented, tmp_path / "odd")
    for path in data_files(odd):
        rows = pq.read_table(path, partitioning=None)
        numbers = rows["numeric_value"].to_numpy(zero_copy_only=False).astype(np.float64)
        numbers[::9], numbers[1::9], numbers[2::9] = 1e308, -3.5e38, 3e38
        pq.write_table(rows.set_column(3, "numeric_value", pa.array(numbers)), path)
    assert package.review(odd, work, **ask).n == N
    for path in data_files(odd):
        rows = pq.read_table(path, partitioning=None)
        codes = pa.array(["NOBODY KNOWS"] * len(rows))
        pq.write_table(rows.set_column(rows.schema.get_field_index("code"), "code", codes), path)
    for call in (package.review, package.assess):
        with pytest.raises(DatasetError, match="has no code that"):
            call(odd, work, out=tmp_path / "none", dry_run=True)
    of_others = Given(None, given_set(invented, open_dataset(work)).records, of_others=True)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError, match="was learned from others"):
        patch.setattr("tawt.commands.review.given_set", lambda folder, dataset: of_others)
        package.review(invented, work, **ask | {"out": tmp_path / "other"})
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_shown_is_told(made: Path, invented: Path, hospital: Hospital, tmp_path: Path, tawt) -> None:
    """Too few records, no set, a place in a workspace, a key that would be lost; a dry run writes nothing."""
    work = hospital.workspace
    with pytest.raises(ConfigError, match=r"needs more than there are, .* real and"):
        package.review(invented, work, out=tmp_path / "r", n=500, split="tuning")
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match="expected a set of records"):
        package.review(tmp_path / "none", work, out=tmp_path / "r", n=N, split="train")
    with pytest.raises(ConfigError, match="lies in a workspace"):
        package.review(invented, work, out=work / "reviews" / "r", n=N, split="train")
    with pytest.raises(ConfigError, match="holds another review"):
        package.review(invented, work, out=made, n=N, split="train", seed=6)
    for folder, said in ((work, "under their own ids"), (renamed(work, tmp_path / "real", 10**9), "under other ids")):
        with pytest.raises(ConfigError, match=said):
            package.review(folder, work, out=tmp_path / "r", n=N, split="train")
    ended = tawt("review", invented, "-w", work, "--out", tmp_path / "r", "--n", N, "--split", "train", "--dry-run")
    assert ended.code == 0 and not (tmp_path / "r").exists(), ended.err
    ended = tawt("review", invented, "-w", work, "--out", tmp_path / "r", "--n", 5, "--split", "train")
    assert (
        ended.code == 0
        and f"page.html, {(tmp_path / 'r' / 'page.html').read_text().count('<article ')} records" in ended.err
    )
