"""Raw tables that are not there: what is left out with them, and what cannot go on without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tawt.builtin.all import stages_of
from tawt.config.named import resolve_pipeline
from tawt.errors import ConfigError, StageError
from tawt.pipeline.workspace import open_workspace
from tawt.sources.graph import Graph


@pytest.fixture(scope="module")
def graph() -> Graph:
    """All stages of MIMIC-IV."""
    return stages_of(resolve_pipeline("mimic_iv"))


def test_what_reads_an_absent_table_first_is_left_out(graph: Graph) -> None:
    """A stage whose records come from it goes, and so do those that come from that; built-in stages take the rest."""
    less = graph.without({"raw.icustays"})
    gone = {"staging.icustays": "raw.icustays is absent", "event_parts.icustays": "staging.icustays is absent"}
    assert less.left_out == graph.left_out | gone
    assert set(graph.stages) - set(less.stages) == set(gone)
    assert set(graph.stages["events"].inputs) - set(less.stages["events"].inputs) == {"event_parts.icustays"}
    for name, stage in less.stages.items():
        if stage.sql is not None:
            assert stage == graph.stages[name]


def test_what_joins_an_absent_table_cannot_go_on(graph: Graph) -> None:
    """Its records would be kept without what the other table says of them: the stage and the table are named, and the way out."""
    with pytest.raises(
        StageError, match=r"needs staging\.admissions, but raw table `admissions` was not found"
    ) as caught:
        graph.without({"raw.admissions"})
    assert caught.value.where in ("event_parts.diagnoses", "event_parts.patients")
    assert caught.value.hint == f"add the table, or leave the stage out with `off: [{caught.value.where}]`"
    less = graph.without({"raw.admissions", "raw.diagnoses_icd", "raw.patients"})
    assert {f"event_parts.{name}" for name in ("diagnoses", "admissions", "patients")} <= set(less.skipped)


def test_what_was_carried_to_a_training_says_what_works_there(tmp_path: Path) -> None:
    """A folder with a dataset and no pipeline is not told to be filled by ingest, which would refuse it."""
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "dataset.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds what a training needs alone") as told:
        open_workspace(tmp_path)
    assert "tawt pretrain -w" in str(told.value.hint) and "ingest" not in str(told.value.hint)
