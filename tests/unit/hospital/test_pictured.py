"""A hospital whose images tell something: its truth against its own definition, and its files as others read them."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from scipy.integrate import quad
from sklearn.metrics import roc_auc_score

from tawt.errors import ConfigError
from tawt.hospital.chest import picture
from tawt.hospital.invent import HospitalSummary
from tawt.hospital.known import IMAGE, LOOKS, OFFSET, RECORD, best_auc, chance, seen
from tawt.hospital.pictured import N_BROKEN, write_pictured

WITH = 0.7


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


@pytest.mark.parametrize("known", [(0.4, -1.3), (0.4, np.nan), (np.nan, 2.0), (np.nan, np.nan)])
def test_what_is_not_known_is_integrated_out(known: tuple[float, float]) -> None:
    """A chance is the mean of the logistic one over all that is not known, one integral within the other."""

    def one(u: float, v: float) -> float:
        return 1 / (1 + np.exp(-(RECORD * u + IMAGE * v + OFFSET)))

    def over(f, given: float) -> float:
        return quad(lambda z: density(z) * f(z), -9, 9)[0] if np.isnan(given) else f(given)

    expected = over(lambda u: over(lambda v: one(u, v), known[1]), known[0])
    assert chance(np.array([known[0]]), np.array([known[1]]))[0] == pytest.approx(expected, abs=1e-6)


def test_the_best_auc_is_that_of_the_risk_among_very_many() -> None:
    """Integrated, it is what 100,000 drawn patients have, of whom some have no image; both is above each by itself."""
    rng = np.random.default_rng(4)
    u, v = rng.standard_normal((2, 100_000))
    died = rng.random(len(u)) < 1 / (1 + np.exp(-(RECORD * u + IMAGE * v + OFFSET)))
    shown = np.where(rng.random(len(u)) < WITH, v, np.nan)
    best = {name: best_auc(looks, WITH) for name, looks in LOOKS.items()}
    for name, looks in LOOKS.items():
        assert best[name] == pytest.approx(roc_auc_score(died, seen(u, shown, looks)), abs=0.006), name
    assert best["both"] > best["record"] + 0.05 > best["image"] + 0.05 > 0.7
    # with everybody's image either is as good, for both weigh the same
    assert best_auc(LOOKS["image"], 1.0) == pytest.approx(best["record"], abs=1e-6)


class Written:
    """A hospital, read back with the standard library and Pillow."""

    def __init__(self, folder: Path, n_subjects: int) -> None:
        self.folder = folder
        self.summary: HospitalSummary = write_pictured(folder, n_subjects=n_subjects, seed=2)
        self.truth = {str(one["subject_id"]): one for one in self.summary.truth}
        self.manifest = self.table("images/manifest")
        self.admitted = {r["subject_id"]: moment(r["admittime"]) for r in self.table("hosp/admissions")}

    def table(self, name: str) -> list[dict[str, str]]:
        with gzip.open(self.folder / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as text:
            return list(csv.DictReader(text))

    def in_time(self, row: dict[str, str]) -> bool:
        asked = self.admitted[row["subject_id"]] + timedelta(hours=24)
        assert moment(row["time"]) < moment(row["available_time"])
        return moment(row["available_time"]) <= asked

    def pixels(self, row: dict[str, str]) -> np.ndarray | None:
        """The picture of a record, None of one that is none."""
        try:
            with Image.open(io.BytesIO((self.folder / row["path"]).read_bytes())) as opened:
                opened.load()
                assert opened.mode == "L" and opened.size == (32, 32)
                return np.asarray(opened)
        except (OSError, UnidentifiedImageError):
            return None


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")


def lungs_differ(pixels: np.ndarray) -> float:
    """How much whiter one lung is than the other: nothing that hangs on the light."""
    grey = pixels.astype(float)
    return abs(np.median(grey[9:19, 6:11]) - np.median(grey[9:19, 21:26]))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("pictured"), 400)


def test_the_truth_is_that_of_its_definition(written: Written) -> None:
    """`u` is read off the one pO2 of the first day, images off the table; risks follow; as many die as the risks say."""
    oxygen = defaultdict(list)
    for row in written.table("hosp/labevents"):
        if row["itemid"] == "50821":
            oxygen[row["subject_id"]].append(float(row["valuenum"]))
    n_images = Counter(row["subject_id"] for row in written.manifest if written.in_time(row))
    died = {r["subject_id"] for r in written.table("hosp/admissions") if r["hospital_expire_flag"] == "1"}
    for subject, one in written.truth.items():
        (value,) = oxygen[subject]
        assert one["u"] == pytest.approx((4.7 - np.log(value)) / 0.35, abs=0.15 if value < 40 else 0.05)
        assert one["n_images"] == n_images[subject] and one["died"] == (subject in died)
        shown = one["v"] if one["n_images"] else np.nan
        for name, looks in LOOKS.items():
            assert one[name] == pytest.approx(seen(np.array([one["u"]]), np.array([shown]), looks)[0])
    full = np.array([chance(np.array([one["u"]]), np.array([one["v"]]))[0] for one in written.truth.values()])
    assert abs(len(died) - full.sum()) < 4 * np.sqrt((full * (1 - full)).sum())
    assert {0, 1, 2, 3} == {one["n_images"] for one in written.truth.values()}
    assert written.summary.best_auc == {name: best_auc(looks, 0.85) for name, looks in LOOKS.items()}


def test_pictures_show_severity_and_nothing_else_does(written: Written) -> None:
    """They are PNG files but for two; how much the lungs differ follows `v`, brightness and which lung do not."""
    measured, severity, brightness, broken = [], [], [], []
    for row in written.manifest:
        pixels = written.pixels(row)
        if pixels is None:
            broken.append(row)
        elif written.in_time(row):
            measured.append(lungs_differ(pixels))
            brightness.append(float(np.median(pixels[:3])))  # above the lungs
            severity.append(written.truth[row["subject_id"]]["v"])
    assert len(broken) == N_BROKEN and all(written.truth[row["subject_id"]]["n_images"] > 1 for row in broken)
    assert len(measured) > 350 and np.corrcoef(measured, severity)[0, 1] > 0.75
    assert abs(np.corrcoef(brightness, severity)[0, 1]) < 0.25
    rng = np.random.default_rng(0)
    sides = [picture(2.0, rng).astype(float) for _ in range(40)]
    left = np.mean([np.median(one[9:19, 6:11]) > np.median(one[9:19, 21:26]) for one in sides])
    assert 0.25 < left < 0.75


def test_a_picture_that_comes_too_late_shows_who_dies(written: Written) -> None:
    """Whether taken or only ready after 24 hours: who looked at these would know what nobody can."""
    late = [row for row in written.manifest if not written.in_time(row)]
    asked = {row["path"]: written.admitted[row["subject_id"]] + timedelta(hours=24) for row in late}
    taken = [moment(row["time"]) < asked[row["path"]] for row in late]
    assert len(late) == written.summary.traps["late_image"] > 40 and 0.2 < np.mean(taken) < 0.8
    differ = [lungs_differ(written.pixels(row)) for row in late]
    assert roc_auc_score([written.truth[row["subject_id"]]["died"] for row in late], differ) > 0.97


def test_the_raw_folder_has_no_truth_and_the_same_bytes_again(written: Written, tmp_path: Path) -> None:
    """Nothing but the tables and the files that the table of images names; written twice they are alike."""
    files = {str(path.relative_to(written.folder)) for path in written.folder.rglob("*") if path.is_file()}
    tables = {f"{name}.csv.gz" for name in written.summary.n_rows}
    assert files == tables | {row["path"] for row in written.manifest}
    again = Written(tmp_path / "again", 400)
    assert again.summary == written.summary
    assert all((again.folder / name).read_bytes() == (written.folder / name).read_bytes() for name in files)
    assert {name: len(again.table(name)) for name in again.summary.n_rows} == written.summary.n_rows


def test_too_few_subjects_of_pictures_are_refused(tmp_path: Path) -> None:
    """Fewer than a hundred or a negative seed is a clear error, and nothing is written."""
    with pytest.raises(ConfigError, match="is 99, expected at least 100"):
        write_pictured(tmp_path / "x", n_subjects=99)
    with pytest.raises(ConfigError, match="--seed"):
        write_pictured(tmp_path / "x", seed=-1)
    assert not (tmp_path / "x").exists()


def test_the_broken_files_are_of_two_people(tmp_path: Path) -> None:
    """Of few, both of one person's images were drawn once in forty hospitals, whose image then counted and was not there."""
    truth = {one["subject_id"]: one for one in write_pictured(tmp_path, n_subjects=100, seed=5).truth}
    pictures = (tmp_path / "images").rglob("*.png")
    broken = [int(path.name.split("_")[0]) for path in pictures if path.read_bytes()[-8:-4] != b"IEND"]
    assert len(set(broken)) == N_BROKEN and all(truth[one]["n_images"] > 1 for one in broken)
