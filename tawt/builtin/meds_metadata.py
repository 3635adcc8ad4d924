"""`metadata/` of a MEDS dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tawt.contracts.dataset import SPLITS
from tawt.contracts.layers import layer_of
from tawt.contracts.meds import ABOUT, MEDS_TYPES, MEDS_VERSION, NAME
from tawt.files import write_json
from tawt.machine import version_of
from tawt.readers import read_parquet
from tawt.sources.stage import Bound
from tawt.transforms.columns import Int64s


def write_metadata(bound: Bound, folder: Path, subjects: dict[str, Int64s], codes: list[str]) -> None:
    """Write `metadata/` of a MEDS dataset: the split of each subject, what each code means, and who made it.

    Args:
        bound: The stage `events`, with the code dictionaries among its inputs.
        folder: Of the dataset.
        subjects: Split -> its subjects.
        codes: The codes that its events have, by name.
    """
    metadata = folder / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    ids = np.concatenate([subjects[split] for split in SPLITS])
    split = np.repeat(SPLITS, [len(subjects[split]) for split in SPLITS])
    order = np.argsort(ids)
    pq.write_table(
        pa.table(
            {"subject_id": pa.array(ids[order]), "split": pa.array(split[order], pa.string())},
            schema=pa.schema([pa.field("subject_id", pa.int64(), False), pa.field("split", pa.string(), False)]),
        ),
        metadata / "subject_splits.parquet",
    )
    known = code_dictionary(bound, codes)
    pq.write_table(
        pa.table(
            {
                "code": pa.array(codes, pa.string()),
                "description": pa.array([known.get(code, (None, None))[0] for code in codes], pa.string()),
                "parent_codes": pa.array([known.get(code, (None, None))[1] for code in codes], pa.list_(pa.string())),
            },
            schema=pa.schema(
                [
                    pa.field("code", pa.string(), False),
                    pa.field("description", pa.string()),
                    pa.field("parent_codes", pa.list_(pa.string())),
                ]
            ),
        ),
        metadata / "codes.parquet",
    )
    write_json(
        folder / ABOUT,
        {
            NAME: bound.settings.dataset or bound.pipeline.name,
            "dataset_version": "1",
            "etl_name": "tawt",
            "etl_version": version_of("tawt"),
            "meds_version": MEDS_VERSION,
            "other_extension_columns": [name for name in bound.stage.contract.names if name not in MEDS_TYPES],
        },
    )


def code_dictionary(
    bound: Bound, codes: Iterable[str], own: bool = True
) -> dict[str, tuple[str | None, list[str] | None]]:
    """Return code -> description and parents, of some codes alone: a dictionary holds many that no event has.

    Args:
        bound: The stage `events`, with the code dictionaries among its inputs.
        codes: The codes that are asked for.
        own: Whether the pipeline has the last word, behind the source's dictionaries.
    """
    asked = pa.array(codes, pa.string())
    known: dict[str, tuple[str | None, list[str] | None]] = {}
    for source in bound.inputs.values():
        for file in source.rows if layer_of(source.name).name == "codes" else ():
            table = read_parquet(file, ["code", "description", "parent_codes"], source.make_again)
            for row in table.filter(pc.is_in(table["code"], value_set=asked)).to_pylist():
                known.setdefault(row["code"], (row["description"], row["parent_codes"]))
    for code, data_type in bound.pipeline.data_types.items() if own else ():
        if data_type.description is not None:
            known[code] = (data_type.description, known.get(code, (None, None))[1])
    return known
