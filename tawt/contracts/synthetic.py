"""What a synthetic set says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, StrictBool, StrictFloat, model_validator

from tawt.config.base import Section
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.dataset import Sha256
from tawt.places import Below

DATA, METADATA, SHARDS = FOLDERS = ("data", "metadata", "dataset")
"""Folders whose files a set lists by their hashes: all that is read of it. The first two are what is handed on."""
PROVENANCE = "provenance.json"
"""File of a synthetic set that says what it is and how it was made; sealed."""
ASSESSMENT = "assessment"
"""Folder of a synthetic set that `tawt assess` writes."""
SYNTHETIC_SETS = "synthetic"
"""Folder of a workspace for synthetic sets made of it; they may lie anywhere else too."""

REFUSED = "refused"
"""Folder of a workspace that tells which sets made of it a gate refused: a folder a run or control, a file a set."""

COPIES = "copies"
"""The control whose records are real people under other ids: no count of few of them is told, and no gate passes it."""

Count = Annotated[int, Field(strict=True, ge=0, lt=10**15)]
People = Annotated[int, Field(strict=True, gt=SMALL_CELL, lt=10**10)]
"""More than may not be told, fewer than there are."""
Share = Annotated[StrictFloat, Field(ge=0, le=1)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]
Outcome = Literal["passed", "failed", "cannot tell"]


@dataclass(frozen=True)
class GateVerdict:
    """What a gate says of a set before it is published."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    gate: str
    """Its name."""
    outcome: Outcome
    """`passed`, `failed`, or `cannot tell`: so few people do not say, and the set is not refused for it."""
    text: str = ""
    """Why."""

    @property
    def refuses(self) -> bool:
        """Whether the set is not to be published by it."""
        return self.outcome == "failed"


class Broken(Section):
    """How often a rule was broken before any repair."""

    events: Count
    """That broke it."""
    of_events: Count
    """That it says something of."""
    records: Count
    """With one that broke it."""
    of_records: Count
    """Of the set."""
    repair: str
    """What was done with them."""
    rate: Share
    """Share of the events that it says something of."""


class BrokenByFew(Section):
    """The same of real people, where they are few."""

    repair: str
    """What was done with them."""
    few: Literal[True]
    """No count is told."""


class Obeyed(Section):
    """How many records of a set are of what all were to be of."""

    told: Count
    """Records that tell it at all."""
    obeyed: Count
    """Records that are of it."""


class Unfinished(Section):
    """How far a run was that was not finished."""

    step: Count
    """After which its weights were taken."""
    of_steps: Count
    """That it was to make."""


class Provenance(Section):
    """What a synthetic set says of itself, as its file has it: whoever reads one holds each key to its type."""

    synthetic: Literal[True]
    """It holds nobody's records, or says by its control that it does."""
    tawt: str
    """Version that made it."""
    control: str | None
    """What drew it; None = a run."""
    run: str | None
    """The decoder that drew it."""
    unfinished: Unfinished | None = None
    """How far that was, where it was not finished."""
    prior: str | None
    """Where its latents came from."""
    model: Sha256 | None
    """Of the run's weights."""
    conditions: dict[str, str]
    """What all of its records were to be of."""
    obeyed: dict[str, Obeyed] = {}
    """By condition, how many are."""
    vocabulary: Sha256
    """That it was drawn in."""
    n_train: People | None
    """Whom it was learned from; None where they are few."""
    seed: Annotated[int, Field(strict=True)]
    """Of the set."""
    numbers: tuple[Count, Count] | None
    """The first and the last of its records; None where few real people were left out of them."""
    most: Annotated[Count, Field(ge=1)]
    """Events after which a record was cut."""
    rules: dict[str, JsonValue]
    """What its records were held to."""
    n_subjects: Count | None
    """Records; None here and below where they are of few real people."""
    n_events: Count | None
    """Events."""
    n_raw_events: Count | None
    """Events before they were held to rules."""
    n_cut: Count | None
    """Records that were cut."""
    n_rejected: Count | None
    """Records that a rule left out."""
    n_dropped: Count | None
    """Events that a rule took out."""
    n_clipped: Count | None
    """Numbers that a rule moved."""
    raw: dict[str, Broken | BrokenByFew]
    """By rule, how often it was broken."""
    dataset: Hash
    """Fingerprint of the real records that it was learned from."""
    files: Annotated[dict[Below, Sha256], Field(min_length=1)]
    """Hash of each file of the set."""
    verdicts: tuple[GateVerdict, ...] = ()
    """Of the gates."""
    published: StrictBool
    """Whether it was judged, and got its name."""
    published_anyway: tuple[str, ...] = ()
    """Gates that refused it."""
    refused_before: Count = 0
    """Sets of the same source that a gate refused before."""
    outcome: Outcome | None = None
    """Of all gates, when it was last assessed."""
    held_to: tuple[Hash, ...] = ()
    """Fingerprints of those whom it was assessed with."""

    @model_validator(mode="after")
    def _is_of_a_set(self) -> Provenance:
        folders = {name.partition("/")[0] for name in self.files}
        if DATA not in folders or not folders <= {*FOLDERS}:
            raise ValueError(f"lists files of other folders than {', '.join(FOLDERS)}, or none of {DATA}")
        if self.numbers is not None and self.numbers[0] > self.numbers[1]:
            raise ValueError("has numbers that descend")
        return self
