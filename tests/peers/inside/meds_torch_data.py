"""Preprocesses a MEDS dataset for meds-torch-data, and writes the codes of each subject of train as its loader has them."""

import subprocess
import sys
from pathlib import Path

import polars as pl
from meds_torchdata import MEDSPytorchDataset, MEDSTorchDataConfig

out, dataset = map(Path, sys.argv[1:])
cohort = out.parent / "cohort"
subprocess.run(["MTD_preprocess", f"MEDS_dataset_dir={dataset}", f"output_dir={cohort}"], check=True)
config = MEDSTorchDataConfig(
    tensorized_cohort_dir=str(cohort), max_seq_len=1_000_000, seq_sampling_strategy="to_end",
    static_inclusion_mode="include", batch_mode="SM",
)  # fmt: skip
train = MEDSPytorchDataset(config, split="train")
known = pl.read_parquet(cohort / "metadata" / "codes.parquet").select("code", "code/vocab_index").rows()
names = {index: code for code, index in known}
rows = []
for place, subject in enumerate(train.schema_df["subject_id"].to_list()):
    batch = train.collate([train[place]])
    for column, values in (("timed", batch.code), ("static", batch.static_code)):
        rows += [(subject, column, names[int(i)]) for i in values.flatten().tolist() if i]
pl.DataFrame(rows, schema=["subject_id", "kind", "code"], orient="row").write_parquet(out)
