"""A dataset's cards tell what it is, and of no few people; each ingest writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

import tawt
from tawt.cards.croissant import croissant
from tawt.cards.dataset import dataset_card
from tawt.cards.facts import DatasetFacts
from tawt.contracts.contract import own_contract
from tests.unit.conftest import Hospital

QUICK = {"threads": 1, "memory_limit": "1GB"}
FACTS = DatasetFacts(
    name="nordic", description="An invented place.", license="CC-BY-4.0", made_by={"pipeline": "nordic", "tawt": "0"},
    calendar="kept", n_subjects={"train": 731, "tuning": 7, "held_out": 64},
    n_rows={"train": 90_417, "tuning": 613, "held_out": 8_009},
    people={"LAB//K": 640, "LAB//NA": 33, "RARE//WHO": 3, "DX//1": 12}, years={1931: 4, 1990: 55, 2003: 80, 2017: 9},
    statuses={"numeric": 98_000, "category": 1_030, "absent": 9}, columns=own_contract("events").arrow_schema(),
)  # fmt: skip


def both(facts: DatasetFacts) -> str:
    """Return all that the cards of a dataset say."""
    return dataset_card(facts) + json.dumps(croissant(facts))


def test_a_card_tells_of_no_few_people() -> None:
    """A split, a code and a year of few are not told, nor a sum that what is told would leave them of."""
    said = both(FACTS)
    assert "| tuning | <11 | not told |" in said and "731" in said and "90,417" in said
    hidden = (7, 613, 731 + 7 + 64, 90_417 + 613 + 8_009, 98_000, 1_030)
    assert not [n for n in hidden if re.search(rf"(?<![\d,.]){n:,}(?![\d,.])", said)]
    assert "RARE" not in said and "| `LAB` | 2 |" in said
    assert "Events are of 1990 to 2003" in said and "1931" not in said and "2017" not in said


def test_a_card_of_many_tells_their_sum() -> None:
    """Where each split is of more than few, their sum and the rows of each status are told, those of few as such."""
    many = replace(FACTS, n_subjects={"train": 731, "tuning": 70, "held_out": 64})
    card = dataset_card(many)
    assert "| all | 865 | 99,039 |" in card and "| absent | <11 |" in card and "1,030" not in card


@pytest.mark.parametrize(
    ("calendar", "said"), [("shifted", "Dates are shifted"), ("none", "counted from an admission")]
)
def test_a_card_tells_years_where_they_mean_anything(calendar: str, said: str) -> None:
    """Of shifted dates, or of none, no year is told."""
    text = both(replace(FACTS, calendar=calendar))
    assert said in text and not re.search(r"\b(1990|2003)\b", text)


def test_records_of_nobody_are_said_to_be() -> None:
    """A synthetic dataset is not said to be of patients."""
    said = both(replace(FACTS, is_synthetic=True))
    assert "nobody's" in said and "patients' data" not in said and "single persons" not in said


def test_each_ingest_writes_the_cards(hospital: Hospital) -> None:
    """The events of a workspace have both, with its pipeline, its counts and its columns."""
    events = hospital.workspace / "events"
    card, about = (events / "README.md").read_text(), json.loads((events / "croissant.json").read_text())
    front = yaml.safe_load(card.split("---")[1])
    assert front["license_name"] == "not-stated" and "| pipeline | demo |" in card
    fields = next(one for one in about["recordSet"] if one["name"] == "events")["field"]
    assert [one["name"] for one in fields] == hospital.events().column_names
    assert all(one["description"] for one in fields)
    assert all(list(events.glob(one["includes"])) for one in about["distribution"])


def test_another_license_changes_the_cards_alone(write_meds: Callable[..., Path], tmp_path: Path) -> None:
    """It is told as it was given, and what was made of the events stands, for they are the same."""
    rows = pa.table(
        {
            "subject_id": pa.array(range(40), pa.int64()),
            "time": pa.array([0] * 40, pa.timestamp("us")),
            "code": ["A"] * 40,
        }
    )
    raw, work = write_meds(rows), tmp_path / "ws"
    tawt.ingest(raw, "meds", work, **QUICK)
    tawt.build_vocab(work, **QUICK)
    assert "Not stated" in (work / "events" / "README.md").read_text()
    tawt.ingest(raw, "meds", work, settings=("license=Terms of the\n  Nordic place",), **QUICK)
    assert "## License\n\nTerms of the Nordic place\n" in (work / "events" / "README.md").read_text()
    assert json.loads((work / "events" / "croissant.json").read_text())["license"] == "Terms of the Nordic place"
    assert tawt.build_vocab(work, **QUICK).n_run == 0
    assert all(finding.ok for finding in tawt.check(work))


def test_croissant_is_valid_and_leads_to_the_rows(hospital: Hospital) -> None:
    """The library of the format finds nothing wrong, and reads the rows of all three tables by it."""
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    dataset = mlcroissant.Dataset(str(hospital.workspace / "events" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    for name in ("events", "subject_splits", "codes"):
        first = next(iter(dataset.records(name)))
        assert first and all(key.startswith(f"{name}/") for key in first)
    events = [record["events/code"].decode() for record in dataset.records("events")]
    assert sorted(events) == sorted(hospital.events()["code"].to_pylist())
