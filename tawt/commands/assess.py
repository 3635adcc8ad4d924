"""`tawt assess`: is a synthetic set like real records, and does it give anybody away?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tawt.assessment.attacks import Privacy, gates
from tawt.assessment.given_set import Given, given_set, of_another
from tawt.assessment.measured import Asked, fidelity_of, privacy_of
from tawt.assessment.page import page
from tawt.assessment.result import Assessed
from tawt.assessment.sides import Sides, control, sides_of, some
from tawt.assessment.smaller import Smaller, smaller_of
from tawt.commands.carried import place_for
from tawt.commands.out_folder import hold_folder, hold_names, published
from tawt.contracts.synthetic import ASSESSMENT, PROVENANCE, SYNTHETIC_SETS, Provenance
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.files import write_sealed, write_text
from tawt.pipeline.fresh import hold_fresh
from tawt.pipeline.workspace import open_workspace
from tawt.places import real, refuse_links
from tawt.quality.synthetic import provenance_of
from tawt.runs.find import called, find_run
from tawt.synthesis.controls import CONTROLS
from tawt.training.folder import Report

MOST = 5000
RECORD, TABLE, PAGE = "assessment.json", "assessment.txt", "report.html"


@dataclass(frozen=True)
class AssessResult:
    """What was found of a synthetic set."""

    folder: Path
    """Holds `assessment.json`, `assessment.txt` and `report.html`."""
    sizes: Mapping[str, int]
    """People or records of each set."""
    chosen: str
    """Who the real ones are, in words."""
    found: Assessed | None = None
    """None of a dry run."""


def assess(
    synthetic: str | Path,
    workspace: Path,
    *,
    run: str | Path | None = None,
    reference_run: str | Path | None = None,
    tasks: Sequence[str] = (),
    n: int = MOST,
    curve: bool = False,
    smaller: Sequence[str] = (),
    fidelity: bool = True,
    with_transformer: bool = True,
    privacy: bool = True,
    seed: int = 0,
    out: str | Path | None = None,
    device: str = "auto",
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> AssessResult:
    """Judge a synthetic set, of `tawt generate` or of any other generator, beside real people and controls.

    Args:
        synthetic: What `generate` wrote, a workspace, or any MEDS dataset.
        workspace: Whose train it was learned from.
        run: An encoder or a decoder: distances are measured between its embeddings too, and a decoder without latents
            says how likely it finds each record.
        reference_run: A decoder that learned from other people, for the likelihood attack.
        tasks: Label sets of yes or no that are learned from real and from synthetic records.
        n: People of each set, at most.
        curve: Whether attacks are made with fewer people too, and on controls that learned from fewer.
        smaller: `SET=WORKSPACE` of sets that were learned from fewer people, which `curve` takes in.
        fidelity: Whether it is held to real records.
        with_transformer: Whether a small transformer learns to tell the sets apart, too.
        privacy: Whether it is attacked.
        seed: Of who is drawn.
        out: A folder; default SYNTHETIC/assessment. A set that was learned from others than the people of the workspace
            is compared with them in a folder of its own alone, without attacks.
        device: auto, cpu, cuda or cuda:N, for the run.
        stale_ok: Also beside a dataset that is older than what it was made from.
        dry_run: Hold what is asked, and measure nothing.
        report: Hears `{"event": "part", "text": ...}` and notes.

    Raises:
        CheckpointError: A run is absent or broken, or has another vocabulary.
        ConfigError: What is asked does not hold, or the set is real, or was learned from others and no folder is given.
        DatasetError: A dataset is absent, broken or empty, or knows none of the codes.
        StaleError: The dataset is older than what it was made from.
    """
    folder, workspace = Path(synthetic).expanduser(), Path(workspace)
    tell = report if report is not None else lambda event: None
    if real(folder) == real(workspace):
        raise ConfigError(str(folder), "is the workspace itself, expected a synthetic set to hold beside it",
                          "`tawt generate` makes one")  # fmt: skip
    if n < 1 or not (fidelity or privacy):
        what = ("--n", f"is {n}, expected 1 or more") if n < 1 else ("--no-privacy", "leaves nothing to measure")
        raise ConfigError(*what, "leave it out")
    target = Path(out).expanduser() if out is not None else folder / ASSESSMENT
    _hold_target(target, folder, workspace, out is not None)
    of_run = find_run(workspace, run) if run is not None else None
    place = place_for(workspace, of_run, tell, stale_ok) if of_run is not None else workspace
    hold_fresh(place, stale_ok, lambda text: tell({"event": "note", "text": text}))
    dataset = open_dataset(place)
    sides = sides_of(dataset, n, seed)
    pairs = [smaller_of(one, dataset, sides) for one in smaller]
    given = given_set(folder, dataset)
    made_by, notes = given.provenance, given.notes(folder)
    notes += _of_provenance(given, sides)
    if given.of_others:
        _hold_apart(folder, target, workspace, fidelity)
        privacy = False
    own = some(given.records, n, seed)
    sizes = {
        "synthetic": own.n_subjects, "train": sides.train.n_subjects, "test": sides.test.n_subjects,
        "reference": sides.reference.n_subjects,
    }  # fmt: skip
    if dry_run:
        return AssessResult(target, sizes, sides.chosen)
    if sides.tuned and not given.of_others and made_by is not None and made_by.run is not None:
        notes.append(
            "Tuning is among the people it is held to: where it chose the weights of the run (`train.final: best`), "
            "it is a little nearer to the set."
        )
    controls = {name: control(name, sides.train, own.n_subjects, dataset.vocabulary, seed) for name in CONTROLS}
    label = partial(_label, workspace, folder)
    asked = Asked(workspace, folder, dataset, sides, own, controls, of_run, device, seed, tell, label)
    found_privacy = _attacked(asked, made_by, reference_run, curve, pairs) if privacy else None
    found_fidelity, learned = fidelity_of(asked, tasks, with_transformer) if fidelity else (None, ())
    notes += [f"{line}." for line in found_fidelity.lost] if found_fidelity is not None else []
    lacks = asked.lacks
    lacks |= {name: "not asked for" for name, is_on in (("privacy", privacy), ("fidelity", fidelity)) if not is_on}
    if given.of_others:
        lacks["privacy"] = "it was learned from others: attacks on the people here say nothing of them"
    found = Assessed(
        folder.resolve().name, _told(made_by, workspace, of_run), sizes, sides.chosen, found_fidelity, found_privacy,
        learned, lacks, tuple(notes), _failed(made_by), given.of_others,
    )  # fmt: skip
    with published(target, RECORD) as aside:
        write_sealed(aside / RECORD, found.to_json())
        write_text(aside / TABLE, found.text())
        write_text(aside / PAGE, page(found, dataset.vocabulary))
    if made_by is not None and found_privacy is not None:
        _tell_provenance(folder, found_privacy, dataset.split("train").fingerprint())
    for note in notes:
        tell({"event": "note", "text": note})
    return AssessResult(target, sizes, sides.chosen, found)


def _attacked(
    asked: Asked, made_by: Provenance | None, reference_run: str | Path | None, curve: bool, pairs: Sequence[Smaller],
) -> Privacy | None:  # fmt: skip
    n = made_by.n_train if made_by is not None else None
    other = find_run(asked.workspace, reference_run) if reference_run is not None else None
    return privacy_of(asked, n, other, curve, pairs)


def _label(workspace: Path, folder: Path, task: str) -> None:
    """Make a label set of a set by the means of the real one: the ready task and predicates of its source."""
    from tawt.commands.label import label  # with the engine, which a machine that trains may lack
    from tawt.contracts.layers import TASKS
    from tawt.labels.ready import PREDICATES, ready_tasks

    opened = open_workspace(workspace)
    source = opened.pipeline.source
    file = ready_tasks(opened.project, source).get(task)
    with suppress(ConfigError):  # it is told as absent, with the command that makes it
        if file is None:
            label(task, folder)
        else:
            own = opened.project.find(f"sql/{source}/{TASKS}/{PREDICATES}.yaml")
            label(file, folder, predicates=own, name=task)


def _hold_target(target: Path, folder: Path, workspace: Path, is_given: bool) -> None:
    if not is_given or real(target) == real(folder) / ASSESSMENT:
        refuse_links(folder, target, inner=True)
    else:
        hold_folder(target, workspace, SYNTHETIC_SETS)
    if is_given:
        hold_names(target, (RECORD, TABLE, PAGE))


def _hold_apart(folder: Path, target: Path, workspace: Path, fidelity: bool) -> None:
    """Let a set that was learned from others be compared alone, where it overwrites nothing that is known of it."""
    if real(target) == real(folder) / ASSESSMENT:
        raise of_another(
            folder, workspace,
            ", with `--run` where the run was of another; `--out DIR` compares it with these people, without attacks",
        )  # fmt: skip
    if not fidelity:
        raise ConfigError("--no-fidelity", "leaves nothing to measure of a set that was learned from others, expected "
                          "a comparison", "leave it out")  # fmt: skip


def _failed(made_by: Provenance | None) -> tuple[str, ...]:
    return tuple(one.gate for one in made_by.verdicts if one.outcome == "failed") if made_by is not None else ()


def _of_provenance(given: Given, sides: Sides) -> list[str]:
    made_by = given.provenance
    if made_by is None:
        return ["It has no provenance: it is taken to be learned from all of train, and from nobody else."]
    if given.of_others or made_by.n_train in (None, sides.n_train):
        return []
    return ["By its provenance it was learned from another number of people than train has: who were none of them are "
            "attacked as if they were."]  # fmt: skip


def _told(made_by: Provenance | None, workspace: Path, run: Path | None) -> dict[str, Any]:
    """Return what a report tells of the provenance: no hash of files, no verdict that was there before."""
    left = {"files", "verdicts", "published_anyway", "outcome", "rules"}
    told = made_by.model_dump(mode="json", exclude=left, exclude_unset=True) if made_by is not None else {}
    return told | ({"assessed_with": called(workspace, run)} if run is not None else {})


def _tell_provenance(folder: Path, privacy: Privacy, held_to: str) -> None:
    """Let the verdict travel with the set; what failed before, by whatever people it was asked, has failed."""
    about = provenance_of(folder)
    assert about is not None, "it was there, and held"
    failed = {one.gate: one for one in about.verdicts if one.outcome == "failed"}
    now = {one.gate: one for one in gates(privacy.verdict)}
    said = {
        "verdicts": (*(now | failed).values(),), "outcome": "failed" if failed else privacy.verdict.outcome,
        "held_to": (*dict.fromkeys((*about.held_to, held_to)),),
    }  # fmt: skip
    write_sealed(folder / PROVENANCE, about.model_copy(update=said).model_dump(mode="json", exclude_unset=True))
