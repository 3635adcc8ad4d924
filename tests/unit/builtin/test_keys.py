"""What the code of built-in stages asks of a pipeline, beside what it says that it hangs on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

import tawt
from tawt.builtin import all as built_in
from tawt.config.pipeline import DataType, PipelineConfig
from tawt.sources.stage import BuiltIn

SECTIONS = {PipelineConfig: "pipeline.", DataType: "pipeline.data_types.*."}


def test_no_stage_asks_what_it_does_not_hang_on(own_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part of the pipeline that the code of a stage reads is among its keys: else an edit of it makes nothing
    stale."""
    asked: dict[str, set[str]] = defaultdict(set)
    running: list[str] = []

    def spied(section: type[BaseModel], prefix: str) -> None:
        get = section.__getattribute__

        def spy(self: BaseModel, name: str) -> object:
            if running and name in section.model_fields:
                asked[running[-1]].add(prefix + name)
            return get(self, name)

        monkeypatch.setattr(section, "__getattribute__", spy)

    def told(one: BuiltIn) -> BuiltIn:
        def run(*given: object) -> object:
            running.append(one.name)
            try:
                return one.run(*given)
            finally:
                running.pop()

        return replace(one, run=run)

    for section, prefix in SECTIONS.items():
        spied(section, prefix)
    monkeypatch.setattr(built_in, "BUILT_IN", tuple(map(told, built_in.BUILT_IN)))
    tawt.run("events+", own_workspace, threads=1, force=True)
    assert "pipeline.name" in asked["events"] and "pipeline.clock" in asked["triplets"]
    asked["events"] -= {
        "pipeline.description",
        "pipeline.calendar",
    }  # cards beside them tell these; no event hangs on it
    for one in built_in.BUILT_IN:
        parts = {key.partition(".*")[0] for key in one.keys}
        assert asked[one.name] - {*one.keys} - parts == set(), one.name
