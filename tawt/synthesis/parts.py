"""Records drawn part by part into files, so that nothing need fit into memory, and a killed command goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.dataset import SPLITS
from tawt.contracts.synthetic import DATA, METADATA
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.records import joined
from tawt.errors import FileError
from tawt.files import write_sealed
from tawt.places import refuse_links, remove
from tawt.readers import read_map
from tawt.seals import holds, sha256_file
from tawt.synthesis.conditions import obeyed
from tawt.synthesis.controls import Draw
from tawt.synthesis.rollout import COMPANY, Invented
from tawt.synthesis.validity import Broken, Rules
from tawt.synthesis.written import write_part

PART = 4 * COMPANY
"""Numbers of records that are kept together."""
_DONE = ".done"
_COUNTS = ("n_subjects", "n_events", "n_raw_events", "n_cut", "n_rejected", "n_dropped", "n_clipped")


@dataclass
class Tally:
    """What was drawn."""

    n_subjects: int = 0
    """Records that are written."""
    n_events: int = 0
    """Their events, statics too."""
    n_raw_events: int = 0
    """Events before anything was mended or left out."""
    n_cut: int = 0
    """Records that were cut at the most events."""
    n_rejected: int = 0
    """Records that were left out for what they break."""
    n_dropped: int = 0
    """Events that were taken out."""
    n_clipped: int = 0
    """Events that were moved to what is possible."""
    broken: dict[str, Broken] = field(default_factory=dict)
    """Rule -> how often it was broken before that."""
    subjects: dict[str, list[int]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    """Split -> ids of its subjects."""
    data_types: set[int] = field(default_factory=set)
    """Those that events have."""
    obeyed: dict[str, dict[str, int]] = field(default_factory=dict)
    """Condition -> of the records that are written, how many tell what it is of, and how many are of it."""

    def add(self, part: dict[str, Any]) -> None:
        """Add what is kept of a part."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + part[name])
        for name, counts in part["broken"].items():
            self.broken.setdefault(name, Broken(repair=counts["repair"])).__iadd__(Broken(**counts))
        for split in SPLITS:
            self.subjects[split] += part["subjects"][split]
        self.data_types |= set(part["data_types"])
        for name, counts in part["obeyed"].items():
            so_far = self.obeyed.setdefault(name, dict.fromkeys(counts, 0))
            self.obeyed[name] = {what: so_far[what] + n for what, n in counts.items()}

    def counts(self, of_people: bool) -> dict[str, int | None]:
        """Return its counts by name; of real people none of few, which is None, and none that few follow from."""
        found = {name: n for name, n in asdict(self).items() if name.startswith("n_")}
        hidden = {name for name, n in found.items() if of_people and 0 < n <= SMALL_CELL}
        if of_people and self._leaves_few:
            hidden.add("n_raw_events")
        if of_people and self._left_out_few:
            hidden.add("n_subjects")  # how many were asked for is known
        return {name: None if name in hidden else n for name, n in found.items()}

    def about(self, of_people: bool) -> dict[str, Any]:
        """Return what `provenance.json` tells of it.

        Whoever has a set can count its records: where few real people were left out it is not told of how many.
        """
        asked = {"numbers": None} if of_people and self._left_out_few else {}
        return {**self.counts(of_people), "raw": self.raw(of_people), **asked}

    @property
    def _left_out_few(self) -> bool:
        return 0 < self.n_rejected <= SMALL_CELL

    @property
    def _leaves_few(self) -> bool:
        """Whether all events less those that are written, or a rule's, are the events of few."""
        return any(0 < n <= SMALL_CELL for n in (self.n_raw_events - self.n_events, self.n_dropped, self.n_rejected))

    def raw(self, of_people: bool) -> dict[str, dict[str, Any]]:
        """Return how often each rule was broken before any repair; of real people no count of few is told."""
        told = {}
        for name, one in self.broken.items():
            known = not of_people or (not self._leaves_few and (one.records == 0 or one.records > SMALL_CELL))
            told[name] = {**asdict(one), "rate": one.rate} if known else {"repair": one.repair, "few": True}
        return told


@dataclass(frozen=True, kw_only=True)
class Making:
    """What parts are made by."""

    draw: Draw
    """Numbers -> their records."""
    rules: Rules
    """What they are held to."""
    base: int
    """Id of the record of number 0."""
    shares: tuple[float, float, float]
    """Of the splits."""
    seed: int
    """Of the splits."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """What all records were to be of, by name."""


def draw_parts(
    folder: Path, numbers: Sequence[int] | Ints, making: Making, *, key: str, tell: Callable[[int, int], None]
) -> Tally:
    """Draw records by their numbers, hold them to the rules, and write them; what is done for the same key is kept.

    Args:
        folder: Where; `data/` of it holds the rows.
        numbers: `(n,)`, ascending, each once.
        making: What they are made by.
        key: A hash of all that the records hang on.
        tell: Hears how many records of how many are done, company by company.
    """
    tally, all_numbers = Tally(), np.asarray(numbers, dtype=np.int64)
    if folder.is_symlink():
        remove(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # nobody has judged yet what it holds
    (folder / DATA).mkdir(exist_ok=True)
    refuse_links(folder, folder / DATA, inner=True)
    parts = np.unique(all_numbers // PART)
    expected: set[Path] = set()
    n, done = len(all_numbers), 0
    tell(0, n)
    for part in parts.tolist():
        name, members = f"{part:07d}", all_numbers[all_numbers // PART == part]
        marker = folder / _DONE / f"{name}.json"
        kept = _kept(folder, marker, key)
        if kept is None:
            kept = _drawn(folder, name, members, making, partial(_heard, tell, done, n)) | {"key": key}
            write_sealed(marker, kept)
        tally.add(kept)
        expected |= {folder / file for file in kept["files"]}
        done += len(members)
        tell(done, n)
    for path in [*(folder / DATA).rglob("*")]:
        if path not in expected and not path.is_dir():  # of another set that was begun here, also half written
            remove(path)
    remove(folder / METADATA)
    return tally


def _kept(folder: Path, marker: Path, key: str) -> dict[str, Any] | None:
    """Return what is told of a part that is done for a key and stands as it was written."""
    with suppress(FileError, OSError, KeyError):
        if holds(marker) and (part := read_map(marker))["key"] == key:
            files = part["files"].items()
            if all((folder / file).is_file() and sha256_file(folder / file) == sha256 for file, sha256 in files):
                return part
    return None


def _heard(tell: Callable[[int, int], None], before: int, n: int, more: Iterable[Invented]) -> Iterator[Invented]:
    """Hand on companies, and tell how many records are drawn while others of the part are not."""
    done = before
    for one in more:
        if done > before:
            tell(done, n)
        yield one
        done += one.records.n_subjects


def _drawn(
    folder: Path, name: str, members: Ints, making: Making, heard: Callable[[Iterable[Invented]], Iterator[Invented]]
) -> dict[str, Any]:
    rules, invented = making.rules, list(heard(making.draw(members)))
    raw = joined(one.records for one in invented)
    raw = raw.keep(raw.value_status != ValueStatus.NOT_MEASURED)  # panels add them again, where they belong
    held = rules.hold(replace(raw, subject_id=raw.subject_id + making.base))
    for split in SPLITS:
        remove(folder / DATA / split / f"{name}.parquet")
    subjects = write_part(folder, name, held.records, rules.meanings, making.shares, making.seed)
    files = [folder / DATA / split / f"{name}.parquet" for split in SPLITS if subjects[split]]
    return {
        "n_subjects": held.records.n_subjects, "n_events": len(held.records.time), "n_raw_events": len(raw.time),
        "n_cut": int(sum((~one.is_whole).sum() for one in invented)), "n_rejected": len(held.rejected),
        "n_dropped": held.n_dropped, "n_clipped": held.n_clipped, "subjects": subjects,
        "broken": {rule: asdict(one) for rule, one in held.broken.items()},
        "obeyed": obeyed(held.records, rules.meanings, making.conditions, rules.from_birth),
        "data_types": np.unique(held.records.data_type).tolist(),
        "files": {path.relative_to(folder).as_posix(): sha256_file(path) for path in files},
    }  # fmt: skip
