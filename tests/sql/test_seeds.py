"""The shared seeds of units and ranges, and what the pipelines say of their data_types."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tawt.config.load import load
from tawt.config.pipeline import PipelineConfig
from tawt.sources.load import load_graph

ROOT = Path(__file__).parents[2]
PIPELINES = ("mimic_iv", "eicu", "physionet2012", "physionet2019", "meds")


def _seed(name: str) -> list[dict[str, str]]:
    with (ROOT / "sql" / "shared" / "seeds" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


SPELLINGS = {row["spelling"]: row["unit"] for row in _seed("unit_spellings")}
CONVERSIONS = {
    (row["concept"], row["from_unit"], row["to_unit"]): (float(row["factor"]), float(row["offset"]))
    for row in _seed("unit_conversions")
}
RANGES = {row["concept"]: (row["unit"], float(row["low"]), float(row["high"])) for row in _seed("plausible_ranges")}


def test_each_spelling_leads_to_one_unit_that_stays_itself() -> None:
    """Spellings are lower case and stand once, and a canonical unit is not respelled into another one."""
    rows = _seed("unit_spellings")
    assert len(SPELLINGS) == len(rows)
    assert all(row["spelling"] == row["spelling"].strip().lower() and row["unit"] for row in rows)
    assert all(SPELLINGS.get(unit.lower(), unit) == unit for unit in SPELLINGS.values())


@pytest.mark.parametrize("spelling", ["k/ul", "10^3/ul", "10*9/l", "x10e3/ul"])
def test_counts_per_volume_are_spelled_alike(spelling: str) -> None:
    """The spellings of a thousand per microlitre that hospitals use are one unit."""
    assert SPELLINGS[spelling] == "K/uL"


def test_conversions_and_ranges_speak_in_canonical_units() -> None:
    """Every unit of a conversion or a range is the canonical spelling of itself, and no rule stands twice."""
    assert len(CONVERSIONS) == len(_seed("unit_conversions")) and len(RANGES) == len(_seed("plausible_ranges"))
    units = [unit for _, *pair in CONVERSIONS for unit in pair] + [unit for unit, _, _ in RANGES.values() if unit]
    assert [unit for unit in units if SPELLINGS.get(unit.lower(), unit) != unit] == []
    assert all(source != target for _, source, target in CONVERSIONS)
    assert all(low < high for _, low, high in RANGES.values())


@pytest.mark.parametrize(
    ("rule", "number", "expected"),
    [
        (("", "degF", "degC"), 98.6, 37.0),
        (("", "degF", "degC"), -40.0, -40.0),
        (("", "in", "cm"), 70.0, 177.8),
        (("", "lb", "kg"), 220.462262, 100.0),
        (("", "kPa", "mmHg"), 101.325, 760.0),
        (("glucose", "mmol/L", "mg/dL"), 5.551, 100.0),
        (("creatinine", "umol/L", "mg/dL"), 88.42, 1.0),
        (("bilirubin_total", "umol/L", "mg/dL"), 17.1, 1.0),
        (("calcium_ionized", "mg/dL", "mmol/L"), 4.008, 1.0),
        (("lactate", "mg/dL", "mmol/L"), 9.008, 1.0),
        (("hemoglobin_a1c", "mmol/mol", "%"), 53.0, 7.0),
        (("magnesium", "mmol/L", "mg/dL"), 1.0, 2.43),
    ],
)
def test_a_conversion_gives_the_textbook_number(rule: tuple[str, str, str], number: float, expected: float) -> None:
    """Known pairs of the same quantity in two units are led into one another."""
    factor, offset = CONVERSIONS[rule]
    assert number * factor + offset == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_names_only_what_is_there(name: str) -> None:
    """Stages that are off or ordered exist, concepts have a range in the declared unit or one that leads to it, and panels are declared codes."""
    pipeline = load(PipelineConfig, ROOT / "pipelines" / f"{name}.yaml")
    assert {path.stem for path in (ROOT / "sql" / pipeline.source / "event_parts").glob("*.sql")} == set(pipeline.order)
    for stage in (*pipeline.off, *([pipeline.sample_from] if pipeline.sample_from else [])):
        assert stage in load_graph(pipeline.model_copy(update={"off": ()})).stages
    for data_type in pipeline.data_types.values():
        if data_type.unit is not None:
            assert SPELLINGS.get(data_type.unit.lower(), data_type.unit) == data_type.unit
        if data_type.concept is not None:
            unit, usual = data_type.unit or "", RANGES[data_type.concept][0]
            leads = any((concept, unit, usual) in CONVERSIONS for concept in (data_type.concept, ""))
            # the range of the concept is in another unit, and holds for nobody: the pipeline says its own
            assert usual == unit or (leads and None not in (data_type.low, data_type.high)), data_type
    assert {code for panel in pipeline.panels for code in panel.data_types} <= set(pipeline.data_types)


def test_physionet_ranges_take_out_nonsense_and_keep_the_unusual() -> None:
    """The wild numbers of the original files fall outside, hard but real ones inside."""
    known = load(PipelineConfig, ROOT / "pipelines" / "physionet2012.yaml").data_types
    assert len(known) == 41

    def inside(code: str, number: float) -> bool:
        low, high = known[code].low, known[code].high
        assert low is not None and high is not None
        return low <= number <= high

    assert not any([inside("pH", 735), inside("Temp", -17.8), inside("DiasABP", -1), inside("WBC", 12500)])
    assert all([inside("pH", 6.75), inside("Temp", 42.2), inside("HR", 0), inside("HR", 300), inside("WBC", 528)])
