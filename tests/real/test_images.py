"""PneumoniaMNIST, a collection of 5,856 chest x-rays, attached to invented records: every pixel against numpy."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.modalities.contents import open_contents

START = datetime(2150, 1, 1)


def test_a_collection_of_chest_x_rays_comes_through_whole(shared_data: Path, tmp_path: Path) -> None:
    """Each image reaches the subject and the time that it was given, with the pixels that numpy reads; doubles are stored once."""
    files = sorted((shared_data / "pneumoniamnist").glob("*.npz"))
    if not files:
        pytest.skip(f"{shared_data / 'pneumoniamnist'} is absent")
    raw, held = tmp_path / "raw", np.load(files[0])
    (raw / "data").mkdir(parents=True)
    (raw / "images").mkdir()
    pixels = {name: held[f"{name}_images"] for name in ("train", "val", "test")}
    (raw / "images" / "scans.npz").write_bytes(files[0].read_bytes())
    places = [(name, row) for name, images in pixels.items() for row in range(len(images))]
    subject = [1 + i // 2 for i in range(len(places))]  # two of each
    time = [START + timedelta(hours=i % 2) for i in range(len(places))]
    n = len(places)
    pq.write_table(
        pa.table(
            {
                "subject_id": subject,
                "time": pa.array(time, pa.timestamp("us")),
                "code": ["HR"] * n,
                "numeric_value": pa.array(np.arange(n) % 90, pa.float32()),
            }
        ),
        raw / "data" / "0.parquet",
    )
    pq.write_table(
        pa.table({
            "subject_id": subject, "time": pa.array(time, pa.timestamp("us")), "path": ["images/scans.npz"] * n,
            "member": [f"{name}_images" for name, _ in places], "row": [row for _, row in places], "kind": ["cxr"] * n,
            "available_time": pa.array([at + timedelta(minutes=30) for at in time], pa.timestamp("us")),
        }),
        raw / "images" / "manifest.parquet",
    )  # fmt: skip
    tawt.ingest(raw, pipeline="image", workspace=tmp_path / "work", threads=2, memory_limit="1GB")
    tawt.build_vocab(workspace=tmp_path / "work", threads=2, memory_limit="1GB")
    assert [finding for finding in tawt.check(tmp_path / "work") if not finding.ok] == []
    contents = open_contents(tmp_path / "work")
    assert contents is not None and contents.codes == ("IMAGE//cxr",) and len(contents.content) == n == 5856
    assert len(contents.sha256) == len({pixels[name][row].tobytes() for name, row in places})
    order = np.lexsort((np.array(time), np.array(subject)))
    for i, place in enumerate(order.tolist()):
        name, row = places[place]
        assert contents.subject_id[i] == subject[place]
        assert np.array_equal(contents.array(int(contents.content[i]))[:, :, 0], pixels[name][row])
    assert np.all(contents.available - contents.time == 30 * 60_000_000)
    at, asking = contents.of(np.array([1, 2]), contents.time[1] + np.array([0, 10**12]))
    assert len(at) == 3 and asking.tolist() == [0, 1, 1]
