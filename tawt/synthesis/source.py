"""What draws records: a control that is fitted to train, or a decoder, told of the whole record by a prior or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import Tensor

from tawt.arrays import Ints
from tawt.dataset.reader import TripletDataset
from tawt.dataset.records import OfSplit
from tawt.errors import ConfigError
from tawt.runs.find import called
from tawt.runs.load import load_decoder, same_vocabulary
from tawt.seals import sha256_file
from tawt.synthesis.conditions import facts_of
from tawt.synthesis.controls import Draw, fitted
from tawt.synthesis.prior import Kind, ready_prior
from tawt.synthesis.rollout import Invented, invent
from tawt.synthesis.shared import fit_shared

PRIORS: tuple[Kind, ...] = get_args(Kind)
_PRIOR = "prior.safetensors"


@dataclass(frozen=True)
class Source:
    """What draws records, and what is told of it."""

    draw: Draw
    """Numbers -> their records; what it needs is fitted when the first of them are drawn."""
    about: dict[str, Any]
    """For `provenance.json`."""


def source_of(
    workspace: Path,
    run: Path | None,
    control: str | None,
    prior: str | None,
    conditions: Mapping[str, str],
    dataset: TripletDataset,
    seed: int,
    most: int,
    origins: Callable[[Ints], Ints],
    aside: Path,
) -> Source:
    """Return what draws.

    Args:
        workspace: That the run is called in.
        run: The folder of a decoder.
        control: Instead of it.
        prior: Where latents come from.
        conditions: What all records are to be of, by name.
        dataset: The real records.
        seed: Of the set.
        most: Events after which a record is cut.
        origins: Numbers -> the moments that their times count from.
        aside: A folder where a prior is kept until the set stands.

    Raises:
        CheckpointError: The run is broken, is no decoder, or has another vocabulary.
        ConfigError: A prior or a condition is asked for and the run has no latents.
    """
    train = dataset.split("train")
    cohort = OfSplit(train, np.arange(train.n_subjects))
    wants = [f"--prior {prior}"] * (prior is not None) + [f"--condition {name}" for name in conditions]
    about: dict[str, Any]
    if run is None:
        assert control is not None, "of both there is one"
        if wants:
            raise ConfigError(wants[0], "is asked for and a control has no latents, expected a run", "leave it out")
        about = {"control": control, "run": None, "prior": None, "model": None, "conditions": {}}
        shares = lambda: fit_shared(cohort, dataset.vocabulary)  # noqa: E731
        return Source(_late(lambda: fitted(control, cohort, shares(), seed, most, origins)), about)
    decoder = load_decoder(run)
    same_vocabulary(str(run), decoder.vocabulary, dataset.vocabulary, workspace)
    if decoder.latent is None and wants:
        what = f"is asked for and {run} has no latents, expected a run that has"
        raise ConfigError(wants[0], what, "leave it out, or pretrain by `latent_small`")
    if prior == "normal" and conditions:
        raise ConfigError(wants[1], "is asked for and the prior `normal` knows none, expected another", "--prior vae")
    tuning = dataset.split("tuning") if "tuning" in dataset.split_names else None
    splits = [split for split in (train, tuning) if split is not None]
    known = {name: facts_of(splits, dataset.vocabulary, name) for name in conditions}
    kind: Kind | None = None if decoder.latent is None else next((one for one in PRIORS if one == prior), "vae")

    def ready() -> Draw:
        shared = fit_shared(cohort, dataset.vocabulary)
        latent: Callable[[Ints], Tensor] | None = None
        if kind is not None:
            made = ready_prior(aside / _PRIOR, kind, decoder, train, tuning, known=known)
            latent = lambda numbers: made.draw(numbers, seed, conditions)  # noqa: E731

        def draw(numbers: Ints) -> Iterator[Invented]:
            return invent(
                decoder.encoder, decoder.heads, dataset.vocabulary, numbers, seed, most, origins, shared, latent
            )

        return draw

    about = {
        "control": None, "run": called(workspace, run), "prior": kind, "model": sha256_file(decoder.weights),
        "conditions": dict(conditions),
    }  # fmt: skip
    return Source(_late(ready), about)


def _late(make: Callable[[], Draw]) -> Draw:
    """Return what draws, made when it is first asked for: of parts that are there already it is not."""
    made: list[Draw] = []

    def draw(numbers: Ints) -> Iterator[Invented]:
        if not made:
            made.append(make())
        return made[0](numbers)

    return draw
