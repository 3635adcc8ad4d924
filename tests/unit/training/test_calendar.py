"""What a run says of calendar waves where the record's clock does not mean what it says."""

from __future__ import annotations

import pytest

from tawt.commands.pretrain import pretrain
from tawt.config.train import PretrainConfig
from tawt.files import write_sealed
from tawt.readers import read_map

WAVES = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16, "time": ["calendar"]}


@pytest.mark.parametrize(
    ("calendar", "model", "says"),
    [
        ("kept", {}, None),
        ("none", {}, "tells no time of day"),
        ("shifted", {}, "only the day's wave"),
        ("shifted", {"calendar": {"periods": ["day"]}}, None),
        ("none", {"time": ["delta"]}, None),
    ],
    ids=str,
)
def test_a_clock_that_means_nothing_is_doubted(tmp_path, write_dataset, calendar, model, says):
    """Calendar waves over times counted from an admission, and waves of week and year over shifted dates, are a doubt of the
    dry run; the day's wave over shifted dates, or none, is not."""
    write_dataset(tmp_path, {"train": [30]})
    path = tmp_path / "dataset" / "dataset.json"
    write_sealed(path, read_map(path) | {"calendar": calendar})
    config = PretrainConfig.model_validate({"model": WAVES | model, "train": {"max_steps": 1, "threads": 1}})
    doubts = pretrain(tmp_path, config, device="cpu", dry_run=True).plan.doubts
    found = [doubt for doubt in doubts if "calendar" in doubt]
    assert len(found) == (says is not None) and all(says in doubt for doubt in found)
