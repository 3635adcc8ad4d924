"""The vocabulary as the trainer reads it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.dataset import vocabulary
from tawt.dataset.vocabulary import read_vocabulary
from tawt.errors import DatasetError
from tawt.transforms.triplets import Coder
from tawt.transforms.vocabulary import center_and_scale, fit_numbers


@pytest.fixture
def path(tmp_path, shards):
    shards.write_vocabulary(tmp_path, n_types=13)
    return tmp_path / "vocabulary" / "vocabulary.parquet"


def test_columns_come_back_by_index(path):
    """Every field of a data_type stands at its index; absent statistics are NaN."""
    vocabulary = read_vocabulary(path)
    rows = pq.read_table(path).to_pylist()
    assert len(vocabulary) == len(rows) == 17
    assert vocabulary.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for i, row in enumerate(rows):
        assert vocabulary.codes[i] == row["code"]
        assert vocabulary.value_kind[i] == row["value_kind"]
        assert vocabulary.categories[i] == tuple(row["categories"])
        for name in ("n_rows", "center", "scale", "n_bins"):
            assert getattr(vocabulary, name)[i] == row[name]
        for name in ("mean", "std"):
            got = getattr(vocabulary, name)[i]
            assert np.isnan(got) if row[name] is None else got == row[name]
    assert vocabulary.max_bins == 8


def test_each_category_has_a_row_of_its_own(path):
    """Every category token of every data_type with a dictionary has its own row; all rows but the shared one are used."""
    vocabulary = read_vocabulary(path)
    rows = []
    for i, categories in enumerate(vocabulary.categories):
        if categories:
            tokens = vocabulary.n_bins[i] + 1 + np.arange(1 + len(categories))  # OTHER, then the categories
            rows += (vocabulary.category_offset[i] + tokens - vocabulary.n_bins[i] - 1).tolist()
    assert rows == list(range(1, vocabulary.n_category_rows))


def test_a_text_that_no_dictionary_knows_has_a_row(path):
    """The OTHER token of a data_type without categories falls on row 0, which no category owns."""
    vocabulary = read_vocabulary(path)
    without = [i for i, categories in enumerate(vocabulary.categories) if not categories]
    assert without
    assert all(vocabulary.category_offset[i] == 0 for i in without)


@pytest.mark.parametrize("damage", ["absent", "text", "cut"])
def test_a_broken_file_is_refused(path, damage):
    """A vocabulary that is absent, not Parquet or cut off is refused with what mends it."""
    whole = path.read_bytes()
    path.unlink()
    if damage != "absent":
        path.write_bytes({"text": b"codes", "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(DatasetError, match="expected a vocabulary") as caught:
        read_vocabulary(path, "build it again")
    assert caught.value.hint == "build it again"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda t: t.drop_columns(["n_bins"]), "`n_bins` is missing"),
        (lambda t: t.slice(1), "count from 0"),
        (
            lambda t: t.set_column(1, t.schema.field(1), pa.array(["[MASK]", *t["code"].to_pylist()[1:]])),
            "starts with other codes",
        ),
    ],
)
def test_a_vocabulary_of_another_shape_is_refused(path, change, word):
    """A missing column, a gap in the index or other special tokens are refused."""
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(DatasetError, match=word):
        read_vocabulary(path)


@pytest.mark.parametrize(
    ("column", "cell", "word"),
    [
        ("bin_edges", [1.0, None], "null in a list"),
        ("categories", [None], "null in a list"),
        ("quantiles", [1.0], "fewer than 2 quantiles"),
    ],
)
def test_lists_of_a_vocabulary_hold_what_they_must(path, column, cell, word):
    """A hole among edges or categories, and quantiles that span nothing, are told as such."""
    rows, schema = pq.read_table(path).to_pylist(), pq.read_schema(path)
    rows[5][column] = cell
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    with pytest.raises(DatasetError, match=word):
        read_vocabulary(path)


def test_a_mistake_of_ours_is_not_told_as_the_files(path, monkeypatch):
    """An error that does not come from the bytes of the file stays what it is."""

    def wrong(row):
        raise KeyError("ours")

    monkeypatch.setattr(vocabulary, "_normalized_edges", wrong)
    with pytest.raises(KeyError, match="ours"):
        read_vocabulary(path)


@pytest.mark.parametrize("normalization", ["zscore", "robust", "quantile", "none"])
def test_bins_of_values_are_those_of_their_numbers(path, normalization):
    """A value's bin equals the one the pipeline gave the number, on edges too, for every way of normalizing."""
    numbers = np.round(np.random.default_rng(0).lognormal(2, 1, 4_000), 1)
    distinct, counts = np.unique(numbers, return_counts=True)
    fit = fit_numbers(distinct, counts, 10)
    center, scale = center_and_scale(fit, normalization)
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        if row["value_kind"] == "numeric":
            row |= {
                "bin_edges": fit.edges.tolist(), "n_bins": len(fit.edges) + 1, "quantiles": fit.quantiles.tolist(),
                "center": center, "scale": scale, "normalization": normalization, "n_values": fit.n,
            }  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=pq.read_schema(path))
    pq.write_table(table, path)
    vocabulary, coder = read_vocabulary(path), Coder.of(table)
    numeric = [i for i, kind in enumerate(vocabulary.value_kind) if kind == "numeric"]
    data_type = np.random.default_rng(1).choice(numeric, len(numbers))
    assert np.isin(numbers, fit.edges).sum() > 100
    token = vocabulary.bins(data_type, coder.normalize(data_type, numbers))
    np.testing.assert_array_equal(token, coder.bins(data_type, numbers))
    # quantile ranks rise with the number, as straight lines between the edges and one bin beyond the outer ones
    value = coder.normalize(data_type, numbers)
    rank = vocabulary.ranks(data_type, value)
    for i in numeric:
        own, edges = data_type == i, vocabulary.bin_edges[i].astype(float)
        points = [2 * edges[0] - edges[1], *edges, 2 * edges[-1] - edges[-2]]
        expected = (2 * np.interp(value[own], points, np.arange(len(points))) / (len(points) - 1) - 1) * np.sqrt(3)
        np.testing.assert_allclose(rank[own], expected, atol=1e-4)
    assert (
        abs(rank.mean()) < 0.1
        and 0.8 < rank.std() < 1.1
        and np.isnan(vocabulary.ranks(data_type[:1], np.float32([np.nan])))
    )
    blank = replace(vocabulary, bin_edges=tuple(np.zeros(0, np.float32) for _ in vocabulary.codes))
    assert (np.abs(blank.ranks(data_type, value)) < np.sqrt(3)).all()  # as of a shared model that withholds its edges
    for endless in (np.inf, -np.inf, np.nan):  # named by training, not passed over
        broken = np.full(len(numeric), endless, np.float32)
        assert np.isnan(vocabulary.ranks(np.array(numeric), broken)).all()
        assert vocabulary.bins(np.array(numeric), broken).max() <= vocabulary.n_bins[numeric].max()
    # two edges that are one in float32, and some that are none at all, give ranks all the same
    edges = np.float32([0, 1, 2, 2, 3, 4, 5, 6, 7])
    twice = replace(vocabulary, n_bins=np.full(len(vocabulary), 10), bin_edges=(edges,) * len(vocabulary))
    assert np.isfinite(twice.ranks(np.full(10, 5), np.float32([*edges, 9]))).all()
    endless = replace(twice, bin_edges=(np.float32([*edges[:-1], np.inf]),) * len(vocabulary))
    assert np.isfinite(endless.ranks(np.full(9, 5), edges)).all()
    without = np.flatnonzero(vocabulary.n_bins == 0)
    assert (vocabulary.ranks(without, np.ones(len(without), np.float32)) == 0).all()
    assert (vocabulary.bins(without, np.zeros(len(without), np.float32)) == 0).all()
