"""What draws records: a control that is fitted to train, or a decoder, told of the whole record by a prior or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import Tensor

from tawt.arrays import Ints
from tawt.contracts.synthetic import COPIES
from tawt.dataset.reader import TripletDataset
from tawt.dataset.records import OfSplit
from tawt.errors import ConfigError
from tawt.runs.find import called
from tawt.runs.load import load_decoder, same_vocabulary
from tawt.seals import sha256_file
from tawt.synthesis.conditions import facts_of, year_of
from tawt.synthesis.controls import Draw, fitted
from tawt.synthesis.known import hold_given
from tawt.synthesis.origins import Origins
from tawt.synthesis.prior import Kind, ready_prior
from tawt.synthesis.rollout import MOST_EVENTS, Invented, invent
from tawt.synthesis.shared import Shared, fit_shared, hold_shared

PRIORS: tuple[Kind, ...] = get_args(Kind)
_PRIOR = "prior.safetensors"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What records are to be drawn by."""

    run: Path | None = None
    """The folder of a decoder."""
    control: str | None = None
    """Instead of it."""
    prior: str | None = None
    """Where latents come from."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """What all records are to be of, by name."""
    seed: int = 0
    """Of the set."""
    most: int = MOST_EVENTS
    """Events after which a record is cut."""

    @property
    def wants(self) -> list[str]:
        """What only a run with latents has, as it was asked for."""
        own = [f"--prior {self.prior}"] if self.prior is not None else []
        return [*own, *(f"--condition {name}" for name in self.conditions)]


@dataclass(frozen=True)
class Source:
    """What draws records, and what is told of it."""

    draw: Draw
    """Numbers -> their records; what it needs is fitted when the first of them are drawn."""
    about: dict[str, Any]
    """For `provenance.json`."""


def source_of(drawing: Drawing, dataset: TripletDataset, *, workspace: Path, aside: Path) -> Source:
    """Return what draws.

    Args:
        drawing: What is asked for.
        dataset: The real records.
        workspace: That the run is called in.
        aside: A folder where a prior is kept until the set stands.

    Raises:
        CheckpointError: The run is broken, is no decoder, or has another vocabulary.
        ConfigError: A prior or a condition is asked for and the run has no latents, or nobody is of the condition.
        DatasetError: No data_type is shared by enough people that anything may be drawn.
    """
    wants = drawing.wants
    if drawing.control != COPIES:
        hold_shared(_train(dataset), len(dataset.vocabulary))
    if drawing.run is not None:
        return _of_run(drawing.run, drawing, dataset, workspace, aside)
    control = drawing.control
    assert control is not None, "of both there is one"
    if wants:
        raise ConfigError(wants[0], "is asked for and a control has no latents, expected a run", "leave it out")
    origins = _origins(dataset, drawing.seed)
    about: dict[str, Any] = {"control": control, "run": None, "prior": None, "model": None, "conditions": {}}
    return Source(
        _late(lambda: fitted(control, _train(dataset), lambda: _shared(dataset), drawing.seed, drawing.most, origins)),
        about,
    )


def _train(dataset: TripletDataset) -> OfSplit:
    train = dataset.split("train")
    return OfSplit(train, np.arange(train.n_subjects))


def _shared(dataset: TripletDataset) -> Shared:
    return fit_shared(_train(dataset), dataset.vocabulary)


def _origins(dataset: TripletDataset, seed: int, year: int | None = None) -> Callable[[Ints], Ints]:
    begun = Origins.of(dataset.split("train").origins)
    if year is not None:
        begun = begun.in_year(year)
    return lambda numbers: begun.draw(numbers, seed)


def _of_run(run: Path, drawing: Drawing, dataset: TripletDataset, workspace: Path, aside: Path) -> Source:
    prior, conditions, wants = drawing.prior, drawing.conditions, drawing.wants
    decoder = load_decoder(run)
    same_vocabulary(str(run), decoder.vocabulary, dataset.vocabulary, workspace)
    if decoder.latent is None and wants:
        what = f"is asked for and {run} has no latents, expected a run that has"
        raise ConfigError(wants[0], what, "leave it out, or pretrain by `latent_small`")
    if prior == "normal" and conditions:
        raise ConfigError(wants[1], "is asked for and the prior `normal` knows none, expected another", "--prior vae")
    train, tuning = dataset.split("train"), dataset.split("tuning") if "tuning" in dataset.split_names else None
    year = year_of(conditions) if dataset.time_origin == "birth" else None
    splits = [split for split in (train, tuning) if split is not None]
    known = {name: facts_of(splits, dataset.vocabulary, name) for name in conditions}
    kind: Kind | None = None if decoder.latent is None else next((one for one in PRIORS if one == prior), "vae")
    if kind in ("vae", "gan"):
        hold_given(conditions, known, train.subject_ids[train.lengths > 0])
    origins = _origins(dataset, drawing.seed, year)

    def ready() -> Draw:
        shared = _shared(dataset)
        latent: Callable[[Ints], Tensor] | None = None
        if kind is not None:
            made = ready_prior(aside / _PRIOR, kind, decoder, train, tuning, known=known)
            latent = lambda numbers: made.draw(numbers, drawing.seed, conditions)  # noqa: E731

        def draw(numbers: Ints) -> Iterator[Invented]:
            return invent(decoder, numbers, drawing.seed, drawing.most, origins=origins, shared=shared, latent=latent)

        return draw

    about: dict[str, Any] = {
        "control": None, "run": called(workspace, run), "prior": kind, "model": sha256_file(decoder.weights),
        "conditions": dict(conditions),
    }  # fmt: skip
    if decoder.stopped is not None:
        about["unfinished"] = dict(zip(("step", "of_steps"), decoder.stopped, strict=True))
    return Source(_late(ready), about)


def _late(make: Callable[[], Draw]) -> Draw:
    """Return what draws, made when it is first asked for: of parts that are there already it is not."""
    made: list[Draw] = []

    def draw(numbers: Ints) -> Iterator[Invented]:
        if not made:
            made.append(make())
        return made[0](numbers)

    return draw
