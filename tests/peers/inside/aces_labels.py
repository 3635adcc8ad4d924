"""Asks a task of a MEDS dataset with ACES, file by file, and writes its labels."""

import sys
from pathlib import Path

import polars as pl
from aces.config import TaskExtractorConfig
from aces.predicates import get_predicates_df
from aces.query import query
from omegaconf import DictConfig

out, dataset, task, predicates = map(Path, sys.argv[1:])
found = []
for path in sorted(dataset.glob("data/*/*.parquet")):
    asked = TaskExtractorConfig.load(config_path=task, predicates_path=predicates)  # a query changes it
    events = get_predicates_df(asked, DictConfig({"path": str(path), "standard": "meds", "ts_format": None}))
    labels = query(asked, events)
    if labels.height:
        found.append(labels.select("subject_id", pl.col("index_timestamp").alias("prediction_time"), "label"))
pl.concat(found).write_parquet(out)
