"""`tawt review` and `tawt ratings`: can people who know patients tell invented records from real ones?"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tawt.assessment.gated import hold_invented
from tawt.assessment.given_set import given_set, of_another
from tawt.commands.out_folder import hold_folder, hold_names, published
from tawt.contracts.workspace import is_workspace
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.dataset.records import Cohort, OfSplit
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, FileError
from tawt.evaluation.resample import N_DRAWS
from tawt.files import digest, write_sealed, write_text
from tawt.pipeline.fresh import hold_fresh
from tawt.places import real
from tawt.reviews.answers import FORMAT, KEY, PAGE, read_key, read_ratings
from tawt.reviews.chosen import Chosen, choose
from tawt.reviews.judged import Judged, judge
from tawt.reviews.page import item, page
from tawt.reviews.timeline import sheets
from tawt.synthesis.readable import Readable
from tawt.training.folder import Report


@dataclass(frozen=True)
class ReviewResult:
    """A review that may be handed to raters."""

    folder: Path
    """Holds `page.html`, which raters open, and `key.json`, which they must not."""
    n: int
    """Records in it."""
    review: str
    """What it is known by; "" of a dry run."""


def review(
    synthetic: str | Path | Cohort,
    workspace: str | Path,
    *,
    out: str | Path,
    n: int = 40,
    split: str = "held_out",
    seed: int | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> ReviewResult:
    """Write a page of real and invented records in random order, with a form to rate them.

    Args:
        synthetic: What `tawt generate` wrote, a workspace, any MEDS dataset; or records themselves.
        workspace: Whose real records are shown.
        out: A folder for the page and its key, outside of every workspace.
        n: Records in all; how many of them are real is left to chance.
        split: Of the real ones: train, tuning or held_out.
        seed: Of the choice and the order; None = one that nobody knows. Who knows it can tell real from invented.
        stale_ok: Also where the dataset is older than what it was made from.
        dry_run: Hold what is asked, and write nothing.
        report: Hears notes.

    Raises:
        ConfigError: There are too few records, the folder is not one to write in, or the set was learned from others
            or holds real people.
        DatasetError: A dataset is absent or broken, or knows none of the codes.
        StaleError: The dataset is older than what it was made from.
    """
    workspace, target = Path(workspace), Path(out)
    tell = report if report is not None else lambda event: None
    _hold_outside(target, workspace)
    hold_folder(target, workspace, "reviews")
    hold_names(target, [PAGE, KEY])
    hold_fresh(workspace, stale_ok, lambda text: tell({"event": "note", "text": text}))
    dataset = open_dataset(workspace)
    shown = dataset.split(split)
    if isinstance(synthetic, str | Path):
        synthetic = _held(Path(synthetic), workspace, dataset, tell)
    if n < _LEAST:
        raise ConfigError(f"--n {n}", f"is too few to say anything, expected at least {_LEAST}")
    seed = secrets.randbits(62) if seed is None else seed
    chosen = choose(OfSplit(shown, np.arange(shown.n_subjects)), synthetic, n, seed)
    if dry_run:
        return ReviewResult(target, n, "")
    key = _key(chosen, dataset.vocabulary, seed)
    if (target / KEY).exists() and read_key(target).review != key["review"]:
        raise ConfigError(
            str(target), "holds another review, whose answers are lost without its key, expected a folder of its own",
            "choose another with `--out DIR`",
        )  # fmt: skip
    text = page(key["review"], [item(sheet) for sheet in sheets(chosen.records, Readable(dataset.vocabulary))])
    with published(target, KEY) as aside:
        write_text(aside / PAGE, text)
        write_sealed(aside / KEY, key)
    return ReviewResult(target, n, key["review"])


def ratings(folder: str | Path, answers: Iterable[str | Path], *, n_draws: int = N_DRAWS, seed: int = 0) -> Judged:
    """Read what raters saved, and measure whether they can tell.

    Args:
        folder: What `tawt review` wrote, with the key.
        answers: Files that its page saved, of one rater or several.
        n_draws: Draws of records, and of raters, that the intervals come from.
        seed: Of the draws.

    Raises:
        FileError: The key or a file is absent, damaged, or of another review; nobody rated anything.
    """
    key = read_key(Path(folder))
    read = read_ratings(map(Path, answers), key)
    if not read.n_items.sum():
        raise FileError(str(folder), "has no rating in any file, expected one at least", "rate records in the page")
    return judge(read, np.array(key.synthetic), n_draws, seed)


_LEAST = 4
"""Records of a review at least: one of each kind, and as many by chance."""


def _held(folder: Path, workspace: Path, dataset: TripletDataset, tell: Report) -> Cohort:
    """Return the records of a set that may be shown as invented."""
    given = given_set(folder, dataset)
    if given.of_others:
        raise of_another(folder, workspace)
    for note in given.notes(folder):
        tell({"event": "note", "text": f"{note} Raters may know the set by it."})
    hold_invented(folder, given.records, dataset)
    return given.records


def _key(chosen: Chosen, vocabulary: Vocabulary, seed: int) -> dict[str, Any]:
    key = {
        "format": FORMAT, "synthetic": chosen.synthetic.tolist(), "subject_id": chosen.records.subject_id.tolist(),
    }  # fmt: skip
    return {**key, "review": digest([key, vocabulary.sha256, seed])}


def _hold_outside(target: Path, workspace: Path) -> None:
    at, own = real(target), real(workspace)
    if any(root == own or is_workspace(root) for root in (at, *at.parents)):
        raise ConfigError(
            str(target), "lies in a workspace, expected a place outside: answers come to lie beside the page",
            "choose another with `--out DIR`",
        )  # fmt: skip
