"""Values of `$named` parameters: held to the types that stages cast them to before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tawt.commands.ingest import ingest
from tawt.config.named import resolve_pipeline
from tawt.database.parse import casts_of_parameters, fits, parse
from tawt.errors import ConfigError
from tawt.sources.load import load_graph


@pytest.mark.parametrize("value", ["xx", "5", "2024-13-01"])
@pytest.mark.parametrize("pipeline", [("demo", "latest_time"), ("physionet2012", "pseudo_epoch")])
def test_a_parameter_that_is_no_value_of_its_type_is_refused_by_its_name(pipeline, value, tmp_path: Path) -> None:
    """The error names parameter, type and a stage that reads it; no workspace is begun."""
    name, parameter = pipeline
    (tmp_path / "raw").mkdir()
    with pytest.raises(ConfigError, match=rf"^parameters\.{parameter}: `{value}` is no timestamp") as error:
        ingest(tmp_path / "raw", name, tmp_path / "w", settings=(f"parameters.{parameter}={value}",))
    assert f"--set parameters.{parameter}=" in error.value.hint and not (tmp_path / "w").exists()


def test_a_stage_that_is_off_asks_for_no_type() -> None:
    """What no stage of the pipeline reads is not held."""
    stages = load_graph(resolve_pipeline("physionet2012")).stages
    reading = [name for name in stages if name.startswith("labels.")] + ["event_parts.measurements"]
    settings = ("parameters.pseudo_epoch=xx", f"off=[{', '.join([*reading, 'event_parts.outcomes'])}]")
    assert load_graph(resolve_pipeline("physionet2012", settings)).stages


def test_types_are_what_casts_say() -> None:
    """Every cast of a parameter counts but one that may fail; types with sizes and lists are told whole."""
    text = "select year($a::timestamp), cast($c as decimal(5,2)), try_cast($q as date), $l::varchar[], lower($n) from x"
    assert casts_of_parameters(parse(text)) == {("a", "TIMESTAMP"), ("c", "DECIMAL(5, 2)"), ("l", "VARCHAR[]")}
    assert fits("1234.5", "DECIMAL(5, 1)") and not fits("12345.6", "DECIMAL(5, 1)")
    assert fits(1.5, "DOUBLE") and not fits(True, "TIMESTAMP") and not fits("1", "NO_SUCH_TYPE")
