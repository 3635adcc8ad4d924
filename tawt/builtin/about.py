"""What is told of the events of a workspace beside them: their cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tawt.cards.facts import DatasetFacts
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Contract
from tawt.contracts.meds import MEDS_VERSION, SYNTHETIC_NAME
from tawt.pipeline.manifest import versions


@dataclass(frozen=True)
class Counted:
    """Counts of a MEDS dataset, as of `DatasetFacts`."""

    n_subjects: Mapping[str, int]
    n_rows: Mapping[str, int]
    people: Mapping[str, int]
    years: Mapping[int, int]
    statuses: Mapping[str, int]


def facts_of(
    pipeline: PipelineConfig, dataset: str | None, counted: Counted, contract: Contract, version: str = MEDS_VERSION,
    license: str = "",
) -> DatasetFacts:  # fmt: skip
    """Return what the cards of a dataset tell.

    Args:
        pipeline: That made it.
        dataset: What the dataset calls itself that it was made of, where it was one.
        counted: Its counts.
        contract: Of its rows.
        version: Of MEDS.
        license: In the place of that of the pipeline.
    """
    return DatasetFacts(
        name=dataset or pipeline.name, description=" ".join(pipeline.description.split()),
        license=" ".join((license or pipeline.license).split()),
        made_by={"pipeline": pipeline.name, "MEDS": version, **versions()},
        calendar=pipeline.calendar, n_subjects=counted.n_subjects, n_rows=counted.n_rows, people=counted.people,
        years=counted.years, statuses=counted.statuses, columns=contract.arrow_schema(),
        meanings={one.name: one.description for one in contract.columns}, is_synthetic=dataset == SYNTHETIC_NAME,
    )  # fmt: skip
