"""`tawt audit`: each leak of the catalogue looked for in a task, its labels, events, features and embeddings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tawt.commands.audit_answers import Question, of_events, of_no_question, of_questions
from tawt.commands.audit_read import behind_events, bound_events, entered_in, practice_told
from tawt.commands.audit_run import audit_run
from tawt.commands.carried import place_for
from tawt.commands.out_folder import hold_folder, hold_names, published
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.label_set import about_labels
from tawt.contracts.workspace import AUDITS
from tawt.database.connect import wrapped_errors
from tawt.database.limits import Limits
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.evaluation.leaks import audit_records, tell
from tawt.evaluation.rows import thinned
from tawt.files import write_sealed
from tawt.heads.kinds import KINDS
from tawt.heads.labels import label_file, read_labels
from tawt.labels.keep import task_of
from tawt.labels.leaks.ahead import audit_summaries
from tawt.labels.leaks.behind import audit_cohort
from tawt.labels.leaks.catalogue import BY_CODE, LEAKS
from tawt.labels.leaks.clocks import audit_clocks
from tawt.labels.leaks.dealt import audit_dealt
from tawt.labels.leaks.events import audit_events, audit_task
from tawt.labels.leaks.fitted import audit_statistics
from tawt.labels.leaks.verdict import Verdict, unverified, worst_of
from tawt.pipeline.fresh import hold_fresh
from tawt.pipeline.workspace import open_workspace
from tawt.runs.find import find_run

FORMAT = "tawt.audit/1"
RECORD = "audit.json"
MOST_LOOKED_AT = 20_000
"""Labels at whose times features are looked at; more would say the same, and take memory for each."""
_ONE_OF_TWO = "of a yes or no alone"
_ASK_YES_OR_NO = (
    "OUTCOME_ENCODING", "SINGLE_FEATURE_DOMINANCE", "MISSINGNESS_PROXY", "REPEATED_EVENT", "SHUFFLED_LABELS"
)  # fmt: skip
_OF_A_RUN = {
    "PRETRAINED_ON_TEST": "give a run with `--run`",
    "EVALUATION_REUSE": "give a run of `tawt finetune` with `--run`, and what you report of it with `--threshold`",
}


@dataclass(frozen=True)
class AuditResult:
    """What an audit found."""

    name: str
    """Of the label set."""
    verdicts: tuple[Verdict, ...]
    """One of each leak, in the order of the catalogue."""
    path: Path
    """`audit.json`."""
    n_labels: int | None = None
    """Labels that are of subjects of the dataset; None = of few."""

    @property
    def n_leaks(self) -> int:
        """How many of them are leaks."""
        return sum(one.status == "leak" for one in self.verdicts)


def audit(
    task: str | Path,
    workspace: str | Path,
    *,
    run: str | Path | None = None,
    kind: Any = None,
    aces: str | Path | None = None,
    predicates: str | Path | None = None,
    threshold: float | None = None,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
    stale_ok: bool = False,
    threads: int | None = None,
    memory_limit: str | None = None,
    dry_run: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
) -> AuditResult:
    """Look for every leak of the catalogue, and measure what a leak that is found is worth to a probe.

    Args:
        task: Name of a label set in WORKSPACE/labels, or a Parquet file of labels.
        workspace: Holds `events/` and `dataset/`.
        run: Whose embeddings must not change when all that is later is deleted; None = features alone are held to that.
        kind: What is asked, where the columns of the labels leave it open.
        aces: The ACES file that the labels are of, where that is no ready task: how its windows lie is looked at.
        predicates: The dataset's own predicates that were laid over it.
        threshold: One that is reported of the run: was it chosen on held_out?
        seed: Of what is drawn.
        device: auto, cpu, cuda or cuda:N.
        out: A folder; default WORKSPACE/audits/TASK.
        stale_ok: Audit also a dataset or labels that are older than what they were made from.
        threads: Threads of the engine; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        dry_run: Hold what is asked, and look at nothing.
        report: Hears which part is at work, and notes.

    Raises:
        CheckpointError: The run is absent or broken, or has another vocabulary.
        ConfigError: The labels do not hold, are about nobody of the dataset, a threshold is given of no run or is no
            probability, or `out` is among the files of a workspace or a run, or holds an audit of something else.
        DatasetError: The dataset is absent or broken.
        StageError: There are no events.
        StaleError: The dataset or the labels are older than what they were made from.
    """
    root = Path(workspace).expanduser()
    opened, file, dataset = open_workspace(root), label_file(root, task), open_dataset(root)
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(
            f"--threshold {threshold:g}", "is no probability, expected one from 0 to 1", "give what you report"
        )
    if threshold is not None and run is None:
        raise ConfigError(f"--threshold {threshold:g}", "is of no run, expected one", "give it with `--run`")
    note: Callable[[str], None] = lambda text: report({"event": "note", "text": text})  # noqa: E731
    hold_fresh(root, stale_ok, note, file)
    labels = read_labels(file, kind)
    splits = {name: dataset.split(name).subject_ids.tolist() for name in dataset.split_names}
    known = np.isin(labels.subject_id, np.concatenate([*splits.values()]))
    if not known.any():
        raise ConfigError(str(file), "has no subject of the dataset, expected some", "label subjects of this workspace")
    labels = labels.rows(known)
    about = about_labels(file)
    asks = task_of(opened, about, aces, predicates)
    folder = find_run(root, run) if run is not None else None
    place = Path(out) if out is not None else root / AUDITS / labels.name
    hold_folder(place, root, AUDITS)
    if out is not None:
        hold_names(place, [RECORD])
    limits = Limits.of(threads, memory_limit)
    n_labels = len(labels) if len(np.unique(labels.subject_id)) > SMALL_CELL else None
    if dry_run:
        return AuditResult(labels.name, (), place / RECORD, n_labels)
    with published(place, RECORD) as aside:
        how = KINDS[labels.kind]
        yes_or_no = bool(how.words)
        asked = [labels.only(i, how.alone or how.name) for i in range(len(labels.asked))]
        report({"event": "part", "name": "events, labels and the task"})
        with (
            closing(bound_events(opened, limits)) as connection,
            wrapped_errors("audit", workspace=root, limits=limits),
        ):
            connection.register("asked", pa.table({"subject_id": labels.subject_id, "prediction_time": labels.time}))
            found = audit_events(connection, splits, entered_in(opened))
            found += audit_clocks(connection, behind_events(opened, connection, note))
            found += [audit_summaries(connection), *audit_dealt(connection, splits, opened.pipeline.calendar)]
            if opened.basis is None:
                found.append(audit_statistics(connection, dataset.vocabulary.table(), splits))
            else:
                why = "the vocabulary goes on from another one: look whose rows that is of"
                found.append(unverified("PREPROCESSING_FIT", why))
            if asks is not None:
                found += audit_task(asks, about.attrition if about is not None else ())
            else:
                found.append(audit_cohort(connection))
            if yes_or_no:
                of_answers = [of_events(connection, one, asks is not None, MOST_LOOKED_AT, seed) for one in asked]
            else:
                found += of_no_question(connection, asked[0], asks is not None)
        report({"event": "part", "name": "records and features"})
        drawn = thinned(np.arange(len(labels)), np.ones(len(labels), dtype=np.bool_), MOST_LOOKED_AT, seed)
        if not drawn.all():
            text = f"features are looked at where {drawn.sum():,} of {len(labels):,} labels are, drawn"
            report({"event": "note", "text": text})
        told = tell(dataset, labels.subject_id[drawn], labels.time[drawn])
        found += audit_records(told)
        if yes_or_no:
            sides = [splits.get(name, []) for name in ("train", "held_out")]
            questions = [Question.of(one.rows(drawn), told, *sides) for one in asked]
            report({"event": "part", "name": "answers and features"})
            found = of_questions(found, of_answers, questions, seed)
        else:
            found += [unverified(code, _ONE_OF_TWO) for code in _ASK_YES_OR_NO]
        found += practice_told(root, labels.name)
        if folder is not None:
            at = place_for(root, folder, report, stale_ok)
            read = dataset if at == root else open_dataset(at)
            found += audit_run(
                root, folder, read, labels, device, threshold, seed,
                lambda name: report({"event": "part", "name": name}),
            )  # fmt: skip
        else:
            found += [unverified(code, why) for code, why in _OF_A_RUN.items()]
        by_code = worst_of(found)
        assert by_code.keys() == BY_CODE.keys(), "each leak is spoken of"
        verdicts = tuple(by_code[leak.code] for leak in LEAKS)
        told_run = None if run is None else str(run)
        about_it = {"format": FORMAT, "task": labels.name, "labels": labels.sha256, "run": told_run}
        write_sealed(aside / RECORD, {**about_it, "verdicts": [one.to_json() for one in verdicts]})
    return AuditResult(labels.name, verdicts, place / RECORD, n_labels)
