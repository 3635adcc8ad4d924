"""A text that few people have is no category: however often it is written, and however it comes to be there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.config.vocabulary import VocabularyConfig
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.value_status import ValueStatus
from tawt.pipeline.run import RunResult
from tawt.pipeline.telling import lines_of
from tests.unit.places import write_place

ALL_TRAIN = ("splits.train=1", "splits.tuning=0", "splits.held_out=0")
WRITTEN = "Mrs Smith of 12 Mill Lane"
HAVE = {"NEG": 60, "eleven": SMALL_CELL + 1, "ten": SMALL_CELL, WRITTEN: 1}
"""How many of 60 subjects have which text."""


def writer(*texts: str) -> Callable[[np.random.Generator], str]:
    """Return what gives each text to so many subjects, one after the other; every row of a subject is the same."""
    each, at = [text for text in texts for _ in range(HAVE[text])], iter(range(10**6))
    return lambda rng: each[min(next(at) // 4, len(each) - 1)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A raw folder of 60 subjects: a test whose findings are of many, of few and of one, and a note of one alone."""
    codes = {
        "URINE": (None, None, writer(WRITTEN, "ten", "eleven", "NEG"), None),
        "NOTE": (None, None, writer(WRITTEN, "ten"), None),
    }
    return write_place(tmp_path / "raw", codes)


def categories(root: Path) -> dict[str, list[str]]:
    """Return the categories of each data_type."""
    table = pq.read_table(root / "vocabulary" / "vocabulary.parquet")
    return dict(zip(table["code"].to_pylist()[4:], table["categories"].to_pylist()[4:], strict=True))


def said_of(result: RunResult) -> str:
    """Return what is told of the vocabulary."""
    manifest = next(one.manifest for one in result.stages if one.stage == "vocabulary")
    assert manifest is not None
    return "\n".join(lines_of(manifest))


def test_a_text_of_few_subjects_gets_no_token_and_is_counted(place: Path, tmp_path: Path) -> None:
    """From 11 subjects on a text is a category; the others are told by their number alone, and keep their triplets."""
    assert VocabularyConfig().min_category_subjects == SMALL_CELL + 1
    root = tmp_path / "w"
    tawt.ingest(place, "meds", root, settings=ALL_TRAIN, threads=1)
    result = tawt.build_vocab(root, threads=1)
    told = categories(root)
    assert told["URINE"] == ["NEG", "eleven"]
    assert WRITTEN.encode() not in (root / "vocabulary" / "vocabulary.parquet").read_bytes()
    assert "Smith" not in said_of(result)
    rows = pq.ParquetDataset(root / "events" / "data").read().to_pylist()
    texts = {(row["code"], row["text_value"]) for row in rows}
    left = {(code, text) for code, text in texts if text not in told[code]}
    n_left = sum((row["code"], row["text_value"]) in left for row in rows)
    assert len(left) >= 3 and said_of(result).startswith(f"{len(left)} texts have no token of their own")
    assert f"{n_left} of {len(rows)} values that are texts ({n_left / len(rows):.1%})" in said_of(result)
    triplets = pq.ParquetDataset(root / "triplets").read(columns=["value_status", "value_token"]).to_pylist()
    assert {row["value_status"] for row in triplets} == {int(ValueStatus.CATEGORY)}
    assert sum(row["value_token"] <= 1 for row in triplets) == n_left  # OTHER, or none


def test_old_categories_stay_whoever_has_them(place: Path, tmp_path: Path) -> None:
    """A vocabulary behind one that was fitted with all texts keeps them, and tells none of them as left out."""
    root, kept = tmp_path / "w", "vocabulary.min_category_subjects="
    tawt.ingest(place, "meds", root, settings=ALL_TRAIN, threads=1)
    assert said_of(tawt.build_vocab(root, settings=(f"{kept}1",), threads=1)) == ""
    before = categories(root)
    assert before["URINE"] == ["NEG", "eleven", "ten", WRITTEN]
    result = tawt.build_vocab(root, extend=True, settings=(f"{kept}11",), threads=1)
    assert categories(root) == before and said_of(result) == ""
