"""Converts a MEDS dataset into a database of meds_reader, and writes the events that it reads there."""

import subprocess
import sys
from pathlib import Path

sys.path = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).parent.resolve()]

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from meds_reader import SubjectDatabase  # noqa: E402

NAMES = ("time", "code", "numeric_value", "text_value", "unit", "available_time", "value_status")

if __name__ == "__main__":
    out, dataset = map(Path, sys.argv[1:])
    subprocess.run(["meds_reader_convert", dataset, out.parent / "database", "--num_threads", "1"], check=True)
    database = SubjectDatabase(str(out.parent / "database"), num_threads=1)
    rows = [
        {"subject_id": subject, **{name: getattr(event, name) for name in NAMES}}
        for subject in database
        for event in database[subject].events
    ]
    pq.write_table(pa.Table.from_pylist(rows), out)
