"""Croissant metadata of a MEDS dataset: what its files and columns are, for machines."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tawt.cards.facts import DatasetFacts
from tawt.contracts.cells import SMALL_CELL

_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
"""The context that Croissant 1.0 gives for all datasets."""
_FILES = {
    "events": ("data/*/*.parquet", "Events, one file per split and shard; a subject lies in one file, sorted by time."),
    "subject_splits": ("metadata/subject_splits.parquet", "The split of each subject."),
    "codes": ("metadata/codes.parquet", "What each code means."),
}
_COLLECTED = "Records that a health care provider kept of its patients, read by the pipeline {pipeline}."
_MISSING = "value_status says of each row why a value is not there; a row that is missing was not recorded."
_SPLITS = pa.schema([("subject_id", pa.int64()), ("split", pa.string())])
_CODES = pa.schema([("code", pa.string()), ("description", pa.string()), ("parent_codes", pa.list_(pa.string()))])
_MEANINGS = {
    "split": "`train`, `tuning` or `held_out`.",
    "description": "What the code means.",
    "parent_codes": "Codes of standard vocabularies above it.",
}


def croissant(facts: DatasetFacts) -> dict[str, Any]:
    """Return the metadata as JSON-LD.

    No hash of a file is told: with that of few subjects' identifiers, whoever guesses them could make sure.

    Args:
        facts: Of the dataset.

    Source:
        Croissant 1.0 and Croissant RAI 1.0 (https://docs.mlcommons.org/croissant/).
    """
    columns = {"events": facts.columns, "subject_splits": _SPLITS, "codes": _CODES}
    told = ", ".join(f"{split} {n} subjects" for split, n, _ in facts.splits)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": facts.name,
        "description": f"{facts.description} Events of patients in the Medical Event Data Standard: {told}.".strip(),
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "version": "1.0.0",
        **({"license": facts.license} if facts.license else {}),
        "keywords": ["MEDS", "electronic health records", "time series"],
        "distribution": [_file_set(name, *said) for name, said in _FILES.items()],
        "recordSet": [_record_set(name, schema, facts) for name, schema in columns.items()],
        "rai:dataCollection": "Drawn by a model." if facts.is_synthetic else _COLLECTED.format(**facts.made_by),
        "rai:dataCollectionMissingData": _MISSING,
        "rai:dataImputationProtocol": "Nothing is imputed.",
        "rai:dataPreprocessingProtocol": [
            "Units are converted to one of each code, each conversion named in its row.",
            "Numbers out of plausible range, in unknown units or in unreadable texts are kept as they came and marked.",
        ],
        "rai:dataLimitations": [facts.time_range, f"Counts of 1 to {SMALL_CELL} subjects are not told here."],
        "rai:personalSensitiveInformation": [
            "None: the records are nobody's." if facts.is_synthetic else
            "Health records of single persons, under numbers of their own."
        ],
    }  # fmt: skip


def _file_set(name: str, pattern: str, said: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet", "@id": f"files-{name}", "name": f"files-{name}", "description": said,
        "encodingFormat": "application/x-parquet", "includes": pattern,
    }  # fmt: skip


def _record_set(name: str, schema: pa.Schema, facts: DatasetFacts) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": _FILES[name][1],
        **({"key": {"@id": f"{name}/{schema.names[0]}"}} if name != "events" else {}),
        "field": [_field(name, one, facts.meanings.get(one.name) or _MEANINGS.get(one.name, "")) for one in schema],
    }


def _field(records: str, column: pa.Field, said: str) -> dict[str, Any]:
    is_list = pa.types.is_list(column.type)
    return {
        "@type": "cr:Field", "@id": f"{records}/{column.name}", "name": column.name, "description": said,
        "dataType": _data_type(column.type.value_type if is_list else column.type),
        **({"repeated": True} if is_list else {}),
        "source": {"fileSet": {"@id": f"files-{records}"}, "extract": {"column": column.name}},
    }  # fmt: skip


def _data_type(of: pa.DataType) -> str:
    if pa.types.is_timestamp(of):
        return "sc:DateTime"
    if pa.types.is_integer(of):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(of) else "sc:Text"
