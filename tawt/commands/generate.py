"""`tawt generate`: records of nobody, drawn by a decoder or a control, as a MEDS dataset and a workspace."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from tawt.arrays import Ints
from tawt.assessment.gated import privacy_judge, unsure
from tawt.commands.carried import place_for
from tawt.commands.invented_workspace import invented_workspace
from tawt.commands.out_folder import hold_folder
from tawt.config.load import load
from tawt.config.rules import RulesConfig
from tawt.contracts.cells import SMALL_CELL, few
from tawt.contracts.synthetic import COPIES, PROVENANCE, SYNTHETIC_SETS, GateVerdict
from tawt.database.limits import Limits
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError, DatasetError, PrivacyError, nearest
from tawt.files import alone_at, digest, made_folder
from tawt.machine import version_of
from tawt.pipeline.fresh import hold_fresh
from tawt.pipeline.workspace import open_workspace
from tawt.places import remove
from tawt.privacy.verdict import hold_gates
from tawt.project import asset
from tawt.runs.find import find_run
from tawt.synthesis.conditions import asked
from tawt.synthesis.controls import CONTROLS
from tawt.synthesis.parts import Making, Tally, draw_parts
from tawt.synthesis.published import Judge, published_set
from tawt.synthesis.refusals import Refusals
from tawt.synthesis.rollout import MOST_EVENTS
from tawt.synthesis.source import PRIORS, Drawing, source_of
from tawt.synthesis.validity import Rules
from tawt.synthesis.written import first_id, write_about
from tawt.training.folder import Report

RULES = "pipelines/rules.yaml"


@dataclass(frozen=True)
class GenerateResult:
    """What was generated."""

    folder: Path
    """A MEDS dataset and a workspace, with `provenance.json`."""
    n_asked: int
    """Records that were asked for."""
    tally: Tally = field(default_factory=Tally)
    """What was drawn, and what of it was mended; empty of a dry run."""
    verdicts: tuple[GateVerdict, ...] = ()
    """What the gates say."""
    seconds: float = 0.0
    """For drawing and writing, without what was done before."""
    of_people: bool = False
    """Whether the records are real ones: then no count of few is told."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """What all records were to be of, by name."""
    unfinished: Mapping[str, int] | None = None
    """How far the run was that drew them, where it was not finished; see `Provenance`."""

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Rule, share of events that broke it, records with one, what was done: of rules that were broken."""
        raw = self.tally.raw(self.of_people)
        return [
            (name, "not told, of few", few(one.records), one.repair) if "few" in raw[name]
            else (name, f"{one.events:,} of {one.of_events:,} ({one.rate:.2%})", f"{one.records:,}", one.repair)
            for name, one in self.tally.broken.items()
            if one.events
        ]  # fmt: skip

    @property
    def obeyed(self) -> list[str]:
        """Of each condition, how many records are of it."""
        return [
            f"{name}={value}: of {self.tally.n_subjects:,} records {n['told']:,} tell of it, and {n['obeyed']:,} are so"
            for name, value in self.conditions.items()
            for n in [self.tally.obeyed[name]]
        ]

    @property
    def counts(self) -> dict[str, str]:
        """Counts of the tally as they may be told, by name."""
        return {
            name: f"{n:,}" if n is not None else "-" if (all_ := getattr(self.tally, name)) > SMALL_CELL else few(all_)
            for name, n in self.tally.counts(self.of_people).items()
        }


def generate(
    workspace: Path,
    run: str | Path | None = None,
    *,
    subjects: int | None = None,
    numbers: str | None = None,
    out: str | Path,
    seed: int = 0,
    control: str | None = None,
    prior: str | None = None,
    conditions: Sequence[str] = (),
    rules: str | Path | None = None,
    most: int = MOST_EVENTS,
    threads: int | None = None,
    memory_limit: str | None = None,
    publish_anyway: Sequence[str] = (),
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
    judge: Judge | None = None,
) -> GenerateResult:
    """Draw records of nobody, hold them to rules, and write them as a MEDS dataset and a workspace.

    A record is a function of the seed and its number, so any of them can be drawn again. What is drawn is kept beside
    the folder until all of it stands, so that a killed command goes on and ends with the same bytes. The folder is
    published by a rename, if the gates pass it.

    Args:
        workspace: Whose records the run, or the control, learned from.
        run: A decoder: a run folder, or the name of one in WORKSPACE/runs.
        subjects: So many records: the numbers from 0 on.
        numbers: Instead, those from A to B, as `128..255`.
        out: A new folder.
        seed: Of the set.
        control: Instead of a run: copies, marginals or markov, fitted to train.
        prior: Where the latents of a run that has them come from: normal, vae or gan; `vae` by default.
        conditions: What all records are of, `NAME=VALUE`, where the run has latents: a static fact, or birth_year.
        rules: A YAML file of rules; those that come with tawt by default.
        most: Events after which a record is cut.
        threads: Threads of the stages; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        publish_anyway: Names of gates that may refuse the set, and it is published all the same.
        stale_ok: Also from a dataset that is older than what it was made from.
        dry_run: Hold what is asked, and draw nothing.
        report: Hears `n_done` and `n_rows` of parts, and notes.
        judge: What is asked before the set is published; None = the gates of privacy.

    Raises:
        CheckpointError: The run is absent or broken, is no decoder, or has another vocabulary.
        ConfigError: What is asked does not hold, or the folder is there.
        DatasetError: The dataset is absent or broken, or train has nobody.
        PrivacyError: A gate refuses the set.
        RoomError: A disk is full.
        StaleError: The dataset is older than what it was made from.
    """
    workspace, target = Path(workspace), Path(out).expanduser()
    tell = report if report is not None else lambda event: None
    wanted = _numbers(subjects, numbers)
    Limits.of(threads, memory_limit)
    _hold_source(run, control, prior)
    if judge is None:
        hold_gates(publish_anyway)
    parts = target.with_name(f".{target.name}.parts")
    in_use = ConfigError(str(target), "is being written by another process, expected to write it alone",
                         "wait for it, or choose another with `--out DIR`")  # fmt: skip
    beside = (parts, target.with_name(f".{target.name}.lock"))
    if not dry_run and (target / PROVENANCE).is_file() and any(os.path.lexists(path) for path in beside):
        with alone_at(target, in_use):
            remove(parts)  # of a run that was killed when its set stood
    _hold_new(target, workspace)
    config = load(RulesConfig, Path(rules).expanduser() if rules is not None else asset(RULES))
    folder = find_run(workspace, run) if run is not None else None
    place = place_for(workspace, folder, tell, stale_ok) if folder is not None else workspace
    hold_fresh(place, stale_ok, lambda text: tell({"event": "note", "text": text}))
    dataset, opened = open_dataset(place), open_workspace(workspace)
    train = dataset.split("train")
    if not train.n_subjects:
        raise DatasetError(str(place), "has nobody in train, expected the records that a run learned from",
                           "see `splits` of the pipeline")  # fmt: skip
    pipeline = opened.pipeline
    base = first_id(np.concatenate([dataset.split(one).subject_ids for one in dataset.split_names]), int(wanted[-1]))
    drawing = Drawing(run=folder, control=control, prior=prior, conditions=asked(conditions), seed=seed, most=most)
    source = source_of(drawing, dataset, workspace=workspace, aside=parts)
    held = Rules.of(config, dataset, pipeline, opened.project)
    of_people = control == COPIES
    if dry_run:
        return GenerateResult(target, len(wanted))
    shares = (pipeline.splits.train, pipeline.splits.tuning, pipeline.splits.held_out)
    about = {
        "synthetic": True, "tawt": version_of("tawt"), **source.about, "vocabulary": dataset.vocabulary.sha256,
        "n_train": train.n_subjects if train.n_subjects > SMALL_CELL else None, "seed": seed,
        "numbers": [int(wanted[0]), int(wanted[-1])], "most": most, "rules": config.model_dump(mode="json"),
    }  # fmt: skip
    key = digest([about, train.fingerprint(), base, shares, pipeline.splits.seed, held.ranges])
    refusals = Refusals.of(workspace, about)
    making = Making(
        draw=source.draw, rules=held, base=base, shares=shares, seed=pipeline.splits.seed, conditions=drawing.conditions
    )
    began = time.perf_counter()
    with made_folder(target.parent), alone_at(target, in_use):
        tally = draw_parts(
            parts, wanted, making, key=key,
            tell=lambda n_done, n: tell({"event": "part", "n_done": n_done, "n_rows": n}),
        )  # fmt: skip
        if not tally.n_subjects:
            raise ConfigError(
                str(rules or RULES), "leaves no record that was drawn, expected some",
                "let rules drop events rather than reject records, or pretrain longer",
            )  # fmt: skip
        seconds = time.perf_counter() - began
        write_about(parts, tally.subjects, tally.data_types, held.meanings)
        about |= {**tally.about(of_people), "obeyed": tally.obeyed, "dataset": train.fingerprint()}
        tell({"event": "note", "text": "the set is made a workspace, and attacked before it is published"})
        make_set = partial(
            invented_workspace, parts, target, pipeline, dataset, threads=threads, memory_limit=memory_limit, tell=tell
        )
        try:
            verdicts = published_set(
                target, make_set, about, judge or privacy_judge(dataset), publish_anyway, key=key, refusals=refusals
            )
        except PrivacyError:
            remove(parts)  # what is refused does not stay beside the place that it was refused
            raise
        before = f"refused before, of {refusals.source}: {refusals.n:,}; `{PROVENANCE}` tells it too"
        for note in filter(None, (before if refusals.n else None, unsure(verdicts))):
            tell({"event": "note", "text": note})
        remove(parts)
    return GenerateResult(target, len(wanted), tally, tuple(verdicts), seconds, of_people, drawing.conditions,
                          about.get("unfinished"))  # fmt: skip


def _numbers(subjects: int | None, numbers: str | None) -> Ints:
    """Return the numbers of the records that are asked for."""
    if (subjects is None) == (numbers is None):
        raise ConfigError("--subjects", "and `--numbers` are both given or both left out, expected one of them",
                          "--subjects 1000")  # fmt: skip
    if numbers is None:
        assert subjects is not None
        if subjects < 1:
            raise ConfigError(f"--subjects {subjects}", "asks for no record, expected at least 1", "--subjects 1000")
        return np.arange(subjects)
    found = re.fullmatch(r"(\d{1,12})\.\.(\d{1,12})", numbers)
    if found is None or int(found[1]) > int(found[2]):
        raise ConfigError(f"--numbers {numbers}", "is no range, expected `A..B`, both included", "--numbers 128..255")
    return np.arange(int(found[1]), int(found[2]) + 1)


def _hold_source(run: str | Path | None, control: str | None, prior: str | None) -> None:
    if (run is None) == (control is None):
        what = "and `--control` are both given or both left out, expected one of them"
        raise ConfigError("--run", what, f"--run NAME, or --control {'|'.join(CONTROLS)}")
    if control is not None and control not in CONTROLS:
        what = f"is none, expected {', '.join(CONTROLS)}"
        raise ConfigError(f"--control {control}", what, nearest(control, CONTROLS))
    if prior is not None and prior not in PRIORS:
        raise ConfigError(f"--prior {prior}", f"is none, expected {', '.join(PRIORS)}", nearest(prior, PRIORS))


def _hold_new(target: Path, workspace: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        what = "is a synthetic set already" if (target / PROVENANCE).is_file() else "holds files"
        raise ConfigError(str(target), f"{what}, expected a new folder", "choose another with `--out DIR`")
    hold_folder(target, workspace, SYNTHETIC_SETS)
