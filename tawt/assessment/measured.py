"""What `tawt assess` measures: attacks and fidelity, as far as what is installed and given allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tawt.arrays import Floats
from tawt.assessment.attacks import Describe, Privacy, over_people, privacy, seen
from tawt.assessment.learned import answers_of, task_of
from tawt.assessment.likelihoods import by_event, log_likelihoods
from tawt.assessment.result import NAMES
from tawt.assessment.sides import Sides
from tawt.assessment.smaller import Smaller
from tawt.assessment.spaces import space_of
from tawt.assessment.transformer import transformer
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.synthetic import COPIES
from tawt.contracts.workspace import is_workspace
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.dataset.records import Cohort
from tawt.errors import CheckpointError, ConfigError, TawtError
from tawt.evaluation.baselines import lightgbm_module, sklearn_module
from tawt.fidelity.discriminate import MODELS
from tawt.fidelity.report import Fidelity
from tawt.fidelity.suite import CEILING, LEAST, SYNTHETIC, TEST, Discriminator, Task, judge
from tawt.privacy.curve import curve as curve_of
from tawt.privacy.membership import by_likelihood
from tawt.privacy.suite import EMBEDDINGS, LIKELIHOOD
from tawt.privacy.verdict import membership_gate
from tawt.runs.embedding import load_embedding
from tawt.runs.load import load_decoder, same_vocabulary
from tawt.shell import command
from tawt.training.folder import Report

_CONTROLS = ("markov", COPIES)
"""Controls that are attacked beside a set, and that learn from fewer people for the curve."""
_DRAWS = 30
_CLOCKLESS = {
    "none": ("hours of the day and days of the week", "dates and hours of these records mean nothing"),
    "shifted": ("days of the week", "the dates of these records are shifted"),
}
"""What dates mean -> what of them cannot be compared, and why."""


@dataclass(frozen=True)
class Asked:
    """What is measured, beside what."""

    workspace: Path
    folder: Path
    """Of the set."""
    dataset: TripletDataset
    """The real records."""
    sides: Sides
    synthetic: Cohort
    controls: Mapping[str, Cohort]
    run: Path | None
    device: str
    seed: int
    tell: Report
    label: Callable[[str], None]
    """Makes a label set of the set by the means of the real one; it may be of no use."""
    lacks: dict[str, str] = field(default_factory=dict)
    """What was not measured -> why; it grows as things are."""

    @property
    def sets(self) -> dict[str, Cohort]:
        """All that fidelity compares, by its names."""
        return {TEST: self.sides.test, SYNTHETIC: self.synthetic, CEILING: self.sides.reference, **self.controls}

    @property
    def how(self) -> tuple[str, str]:
        """What times count from, and what dates mean."""
        return self.dataset.time_origin, self.sides.train.split.calendar

    @cached_property
    def space(self) -> tuple[Describe, Describe] | None:
        """What embeds, as the run does and on the scale of the reference; None = no run is given."""
        if self.run is None:
            return None
        made = load_embedding(self.run, self.dataset.vocabulary, self.workspace, None, self.device)
        return space_of(made, self.sides.reference, *self.how)

    def doing(self, what: str) -> None:
        """Tell what is being done."""
        self.tell({"event": "part", "text": what})


def privacy_of(
    asked: Asked,
    n: int | None,
    reference_run: Path | None,
    curve: bool,
    pairs: Sequence[Smaller],
) -> Privacy | None:
    """Make the attacks; what could not be made is told by `asked.lacks`.

    Args:
        asked: What is measured.
        n: People whom the set was learned from, by its provenance.
        reference_run: A decoder of other people.
        curve: Whether attacks are made over the number of people.
        pairs: Sets that were learned from fewer.
    """
    sides = asked.sides
    if not min(sides.test.n_subjects, sides.reference.n_subjects):
        asked.lacks["privacy"] = "nobody is held out to compare with: see `splits` of the pipeline"
        return None
    asked.doing("attacks in summaries")
    sets = seen(sides, asked.synthetic, n)
    likelihoods = _likelihoods(asked, reference_run)
    spaces = {EMBEDDINGS: asked.space[1]} if asked.space is not None else {}
    if not spaces:
        asked.lacks["distances between embeddings"] = "no run is given: `--run`"
    asked.lacks["exposure of canaries"] = (
        "none were planted before training, which no command does: see `tawt.privacy.canaries`"
    )
    curves = {}
    if curve:
        asked.doing("attacks over the number of people")
        curves = over_people(sets, _CONTROLS, asked.dataset.vocabulary, asked.seed)
        if pairs:
            several = [(sets.people(one.people), sets.people(one.synthetic)) for one in pairs]
            several.append((sets.train, sets.synthetic))
            several.sort(key=lambda pair: pair[0].n)
            curves["sets that were learned from so many"] = curve_of(
                several, sets.test, sets.reference, n_draws=_DRAWS, seed=asked.seed
            )
    elif pairs:
        raise ConfigError("--smaller", "is of the curve, which is not asked for, expected both", "add `--curve`")
    else:
        asked.lacks["attacks over the number of people"] = "not asked for: `--curve`"
    beside = {name: asked.controls[name] for name in _CONTROLS}
    return privacy(sets, asked.synthetic, spaces, likelihoods, beside, curves, asked.seed)


def _likelihoods(asked: Asked, reference_run: Path | None) -> tuple[Floats, Floats] | None:
    """Return scores of train and of the test."""
    what = membership_gate(LIKELIHOOD)
    if asked.run is None:
        if reference_run is not None:
            raise ConfigError("--reference-run", "is of a likelihood attack, which needs the run, expected `--run` too",
                              "give the run that made the set")  # fmt: skip
        asked.lacks[what] = "no decoder is given: `--run`"
        return None
    try:
        decoder = load_decoder(asked.run)
    except CheckpointError:
        asked.lacks[what] = "the run is no decoder"
        return None
    if decoder.latent is not None:
        asked.lacks[what] = "the run has latents, given which alone it says how likely a record is"
        return None
    asked.doing("how likely the run finds each record")
    both = asked.sides.train, asked.sides.test
    own = [by_event(log_likelihoods(decoder, one, *asked.how), one) for one in both]
    if reference_run is None:
        return by_likelihood(own[0]), by_likelihood(own[1])
    other = load_decoder(reference_run)
    same_vocabulary(str(reference_run), other.vocabulary, asked.dataset.vocabulary, asked.workspace)
    beside = [by_event(log_likelihoods(other, one, *asked.how), one) for one in both]
    return by_likelihood(own[0], beside[0]), by_likelihood(own[1], beside[1])


def fidelity_of(asked: Asked, tasks: Sequence[str], with_transformer: bool) -> tuple[Fidelity | None, tuple[str, ...]]:
    """Hold the set to real records, and learn tasks from it; what could not be done is told by `asked.lacks`."""
    small = [name for name, cohort in asked.sets.items() if cohort.n_subjects < LEAST]
    if small:
        asked.lacks["fidelity"] = f"fewer than {LEAST} people of {', '.join(small)}"
        return None, ()
    learned: dict[str, Task] = {}
    lacking = not_installed()
    models = () if lacking else tuple(MODELS)
    if lacking:
        asked.lacks["discriminators and tasks"] = lacking
    for name in tasks if models else ():
        asked.doing(f"what {name} learns")
        try:
            learned[name] = _task(asked, name)
        except TawtError as error:
            asked.lacks[f"task {name}"] = _placeless(asked, str(error))
    if not tasks:
        asked.lacks["tasks learned from the set"] = "none is named: `--task`"
    others: dict[str, Discriminator] = {}
    if with_transformer:
        others["transformer"] = transformer(asked.dataset.vocabulary, *asked.how, asked.seed)
    else:
        asked.lacks["what a transformer tells apart"] = "not asked for: `--no-transformer`"
    calendar = asked.how[1]
    if calendar in _CLOCKLESS:
        what, why = _CLOCKLESS[calendar]
        asked.lacks[what] = why
    asked.doing("how like real records")
    embeddings = None
    if asked.space is not None:
        embeddings = {name: asked.space[0](cohort) for name, cohort in asked.sets.items()}
    else:
        asked.lacks["precision, recall and coverage between embeddings"] = "no run is given: they are between summaries"
    found = judge(
        asked.synthetic, asked.sides.test, asked.sides.reference, asked.controls, n_types=len(asked.dataset.vocabulary),
        calendar=calendar, models=models, discriminators=others, embeddings=embeddings, tasks=learned,
        seed=asked.seed, doing=lambda name: asked.doing(f"how like real records: {NAMES.get(name, name)}"),
    )  # fmt: skip
    return found, tuple(learned)


def not_installed() -> str:
    """Return what discriminators and tasks lack, and what installs it; empty where they can be."""
    try:
        sklearn_module("linear_model")
        lightgbm_module()
    except TawtError as error:
        return f"{error.of('baselines')}: {error.hint}"
    return ""


def _placeless(asked: Asked, text: str) -> str:
    """Return a text that may travel: of places of this machine the names alone."""
    for place in (asked.folder, asked.workspace):
        text = text.replace(str(place), place.name)
    return text


def _task(asked: Asked, name: str) -> Task:
    real = answers_of(asked.workspace, name)
    if not is_workspace(asked.folder):
        raise ConfigError(
            str(asked.folder), "is no workspace, in which labels could be made, expected one",
            f"`{command('ingest', asked.folder, pipeline='meds', workspace='WORKSPACE')}`",
        )  # fmt: skip
    of_set = open_dataset(asked.folder)
    same_vocabulary(str(asked.folder), of_set.vocabulary, asked.dataset.vocabulary, asked.workspace)
    synthetic = answers_of(asked.folder, name, lambda: asked.label(name))
    few = min((synthetic.value[:, 0] > 0).sum(), (synthetic.value[:, 0] == 0).sum())
    if few <= SMALL_CELL:
        raise ConfigError(name, f"has fewer than {SMALL_CELL + 1} records of one answer, expected more of both",
                          "generate more records")  # fmt: skip
    return task_of(real, asked.dataset, synthetic, of_set, asked.sides)
