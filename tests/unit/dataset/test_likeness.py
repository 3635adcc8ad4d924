"""What new data_types begin from: named, by family, by parents, by description, or from nothing."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.dataset.likeness import beginnings
from tawt.dataset.vocabulary import Vocabulary, read_vocabulary
from tawt.errors import ConfigError

OLD = [
    ("LAB//SODIUM", "Sodium in blood", ["LOINC/2951"]), ("LAB//POTASSIUM", "Potassium in blood", ["LOINC/2823"]),
    ("CHART//PULSE", "Heart rate", ["LOINC/8867"]), ("DRUG//A", "Furosemide tablet", ["ATC/C03"]),
]  # fmt: skip
NEW = [
    ("LAB//NA2", "Sodium in whole blood", ["LOINC/2951"]), ("EKG//RATE", "Rate of the heart", None),
    ("ODD", "zzz qqq", None),
]  # fmt: skip


@pytest.fixture
def both(tmp_path, shards) -> tuple[Vocabulary, Vocabulary]:
    """The old vocabulary, and one with three data_types more; all have numbers but the drug."""
    shards.write_vocabulary(tmp_path, n_types=1)
    plain = pq.read_table(tmp_path / "vocabulary" / "vocabulary.parquet")
    special, numeric = plain.to_pylist()[:4], plain.to_pylist()[4]
    bare = {"n_bins": 0, "bin_edges": [], "value_kind": "none", "quantiles": None}

    def made(known):
        rows = [*special]
        for code, text, parents in known:
            own = {"data_type": len(rows), "code": code, "description": text, "parents": parents}
            rows.append(numeric | own | (bare if code.startswith("DRUG") else {}))
        path = tmp_path / f"{len(known)}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=plain.schema), path)
        return read_vocabulary(path)

    return made(OLD), made(OLD + NEW)


def told(both, init, similar=None):
    old, new = both
    found = beginnings(old, new, init, similar or {})
    assert all(abs(sum(one.weights) - 1) < 1e-9 for one in found if one.sources)
    return {new.codes[one.data_type]: (one.how, tuple(old.codes[i] for i in one.sources)) for one in found}


def test_a_person_names_what_it_is_like(both):
    """A named one begins as what it is named like; others of its family as the family's mean, the rest from nothing."""
    assert told(both, "similar", {"ODD": "CHART//PULSE"}) == {
        "LAB//NA2": ("family", ("LAB//SODIUM", "LAB//POTASSIUM")), "EKG//RATE": ("random", ()),
        "ODD": ("similar", ("CHART//PULSE",)),
    }  # fmt: skip


def test_shared_parents_and_descriptions_are_found(both):
    """A shared parent is found, and so is the description that has most letters in common, of those with numbers."""
    assert told(both, "parents")["LAB//NA2"] == ("parents", ("LAB//SODIUM",))
    by_text = told(both, "text")
    assert by_text["LAB//NA2"][1][0] == "LAB//SODIUM" and by_text["EKG//RATE"] == ("text", ("CHART//PULSE",))
    assert by_text["ODD"] == ("random", ())
    assert {how for how, _ in told(both, "random").values()} == {"random"}


def test_what_is_not_there_is_named(both):
    """A code that is not new, or not old, is refused with the nearest one."""
    with pytest.raises(ConfigError, match="`ODDD` is no new data_type") as error:
        told(both, "text", {"ODDD": "LAB//SODIUM"})
    assert "ODD" in error.value.hint
    with pytest.raises(ConfigError, match="no data_type that the run knows"):
        told(both, "text", {"ODD": "LAB//NA2"})
