"""The fitted numbers, held to exact fractions, and the index, held to a sort in Python."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from tawt.config.pipeline import DataType, PipelineConfig
from tawt.config.vocabulary import VocabularyConfig
from tawt.contracts.contract import own_contract
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.transforms.vocabulary import Counts, center_and_scale, fit_numbers, fit_vocabulary

CONTRACT = own_contract("vocabulary")


def fit(numbers: np.ndarray, n_bins: int = 10):
    values, counts = np.unique(numbers.astype(np.float64), return_counts=True)
    return fit_numbers(values, counts, n_bins)


def exact(numbers: np.ndarray) -> tuple[Fraction, Fraction]:
    """Mean and variance as fractions: not a digit is lost."""
    xs = [Fraction(float(x)) for x in numbers]
    mean = sum(xs) / len(xs)
    return mean, sum((x - mean) ** 2 for x in xs) / len(xs)


def kth(numbers: np.ndarray, k: int, parts: int) -> float:
    """The smallest number with at least k of `parts` of all at or below it, found by looking at each."""
    ordered = sorted(numbers.tolist())
    return next(x for i, x in enumerate(ordered, 1) if i * parts >= k * len(ordered))


SAMPLES = {
    "normal": lambda rng: rng.normal(3, 1, 997).astype(np.float32),
    "far from zero": lambda rng: rng.normal(1e5, 2, 1000).astype(np.float32),
    "huge and tiny": lambda rng: np.concatenate([rng.normal(0, 1e-20, 50), rng.normal(0, 1e20, 50)]).astype(np.float32),
    "tied": lambda rng: rng.integers(0, 4, 300).astype(np.float32),
    "one": lambda rng: np.array([7.25], np.float32),
    "constant": lambda rng: np.full(30, 0.1, np.float32),
    "two": lambda rng: np.array([1, 2], np.float32),
    "skewed": lambda rng: np.exp(rng.normal(0, 3, 500)).astype(np.float32),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_mean_and_std_are_those_of_exact_arithmetic(name: str) -> None:
    """Mean and population standard deviation agree with fractions and with `statistics` to twelve digits."""
    numbers = SAMPLES[name](np.random.default_rng(1))
    fitted = fit(numbers)
    mean, variance = exact(numbers)
    assert fitted.n == len(numbers)
    assert fitted.mean == pytest.approx(float(mean), rel=1e-12, abs=1e-12 * math.sqrt(variance))
    assert fitted.std == pytest.approx(math.sqrt(variance), rel=1e-12, abs=0)
    assert fitted.std == pytest.approx(statistics.pstdev(numbers.tolist()), rel=1e-12, abs=0)
    normalized = (numbers.astype(np.float64) - fitted.mean) / (fitted.std or 1)
    assert normalized.std() == pytest.approx(1.0 if fitted.std else 0.0, abs=1e-9)


def test_float32_sums_would_have_failed() -> None:
    """The case of mean 1e5 and deviation 2 is one that sums of squares in float32 get wrong."""
    numbers = SAMPLES["far from zero"](np.random.default_rng(1))
    wrong = np.mean(numbers**2, dtype=np.float32) - np.mean(numbers, dtype=np.float32) ** 2
    assert not 0.9 < math.sqrt(max(float(wrong), 0)) / fit(numbers).std < 1.1


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("n_bins", [2, 3, 10, 64])
def test_percentiles_and_edges_are_nearest_ranks(name: str, n_bins: int) -> None:
    """All 101 percentiles are nearest ranks; edges are the distinct quantiles above the smallest number."""
    numbers = SAMPLES[name](np.random.default_rng(2))
    fitted = fit(numbers, n_bins)
    assert fitted.quantiles.tolist() == [kth(numbers, max(k, 1) if k else 0, 100) for k in range(101)]
    assert fitted.quantiles[0] == numbers.min()
    assert fitted.quantiles[100] == numbers.max()
    cuts = sorted({kth(numbers, k, n_bins) for k in range(1, n_bins)})
    assert fitted.edges.tolist() == [cut for cut in cuts if cut > numbers.min()]


def test_ranks_are_exact_for_many_rows() -> None:
    """With 10^12 rows behind few values, every percentile still is the nearest rank, in integers."""
    counts = np.array([7 * 10**10, 1, 3 * 10**10 - 1, 9 * 10**11])
    values = np.array([1.0, 2.0, 3.0, 4.0])
    below, n = np.cumsum(counts).tolist(), int(counts.sum())
    expected = [next(v for v, b in zip(values, below, strict=True) if b * 100 >= k * n) for k in range(101)]
    assert fit_numbers(values, counts, 10).quantiles.tolist() == expected


def test_center_and_scale_by_normalization() -> None:
    """z-score uses mean and deviation, robust the median and IQR / 1.349, the others leave numbers as they are."""
    numbers = np.arange(1, 101, dtype=np.float32)
    fitted = fit(numbers)
    assert center_and_scale(fitted, "zscore") == (fitted.mean, fitted.std)
    center, scale = center_and_scale(fitted, "robust")
    assert (center, scale) == (50.0, pytest.approx((75 - 25) / (2 * statistics.NormalDist().inv_cdf(0.75))))
    assert center_and_scale(fitted, "none") == center_and_scale(fitted, "quantile") == (0.0, 1.0)
    constant = fit(np.full(5, 3.0, np.float32))
    assert center_and_scale(constant, "zscore") == center_and_scale(constant, "robust") == (3.0, 1.0)


@pytest.mark.parametrize("number", [0.1, -36.6, 1e5, 3.4e38, 0.0, 1e-40])
@pytest.mark.parametrize("normalization", ["zscore", "robust"])
def test_a_spread_that_is_only_rounding_is_none(number: float, normalization: str) -> None:
    """Numbers a float32 step apart, as two ways to convert one unit leave them, are not blown up to values of +-1."""
    one = np.float32(number)
    numbers = np.array([one, np.nextafter(one, np.float32(0)) if one else np.float32(1e-45)] * 50)
    center, scale = center_and_scale(fit(numbers), normalization)
    assert scale == 1.0 and center == pytest.approx(float(one), rel=1e-6)
    # three steps are a spread, of however small numbers
    wide = np.array([one, one - 3 * np.spacing(one)] * 50)
    assert center_and_scale(fit(wide), normalization)[1] < 1 or abs(number) > 1e7


def counts_of(rows: list[tuple[int, str, object]]) -> Counts:
    """Count rows of (subject, code, number or text or None), as the engine does."""
    codes = sorted({code for _, code, _ in rows})
    numbers = Counter((codes.index(c), v) for _, c, v in rows if isinstance(v, float))
    texts = Counter((codes.index(c), v) for _, c, v in rows if isinstance(v, str))
    subjects_of = {k: len({s for s, c, v in rows if (codes.index(c), v) == k}) for k in sorted(texts)}

    def table(counter: Counter, name: str, type_: pa.DataType) -> pa.Table:
        keys = sorted(counter)
        return pa.table(
            {
                "code": pa.array([k[0] for k in keys], pa.int64()),
                name: pa.array([k[1] for k in keys], type_),
                "n": pa.array([counter[k] for k in keys], pa.int64()),
            }
        )

    return Counts(
        codes=codes,
        n_rows=np.array([sum(c == code for _, c, _ in rows) for code in codes]),
        n_subjects=np.array([len({s for s, c, _ in rows if c == code}) for code in codes]),
        n_value_subjects=np.array(
            [len({s for s, c, v in rows if c == code and isinstance(v, float)}) for code in codes]
        ),
        units=["mg" if any(isinstance(v, float) and c == code for _, c, v in rows) else None for code in codes],
        numbers=table(numbers, "value", pa.float64()),
        texts=table(texts, "text", pa.string()).append_column("n_subjects", pa.array(subjects_of.values(), pa.int64())),
    )


ROWS: list[tuple[int, str, object]] = [
    *[(i % 4, "num", float(i % 5)) for i in range(12)],
    *[(i, "b_tie", None) for i in range(6)],
    *[(i, "a_tie", None) for i in range(6)],
    *[(1, "cat", text) for text in ["NEG"] * 4 + ["POS"] * 2 + ["ODD"] * 2 + ["once"]],
    *[(i, "mix", value) for i, value in enumerate([1.5, 2.5, "HOLD", None])],
    (1, "rare", 3.0),
    (2, "Ärare", None),
]


def vocabulary(**settings) -> list[dict]:
    pipeline = PipelineConfig(
        name="t", source="t", vocabulary=VocabularyConfig(**settings),
        data_types={"num": DataType(normalization="robust", description="mine")},
    )  # fmt: skip
    dictionary = {"num": ("theirs", ["P"]), "cat": ("words", None)}
    table = fit_vocabulary(counts_of(ROWS), pipeline, CONTRACT, dictionary)
    assert table.schema == CONTRACT.arrow_schema()
    return table.to_pylist()


def test_the_index_goes_by_count_then_name() -> None:
    """Special tokens come first, then the data_types by rows in train, ties by name."""
    rows = vocabulary()
    assert [row["code"] for row in rows] == [*SPECIAL_CODES, "num", "cat", "a_tie", "b_tie", "mix", "rare", "Ärare"]
    assert [row["data_type"] for row in rows] == list(range(len(rows)))
    assert {row["code"]: (row["n_rows"], row["n_subjects"], row["n_values"]) for row in rows[4:]} == {
        "num": (12, 4, 12), "cat": (9, 1, 0), "a_tie": (6, 6, 0), "b_tie": (6, 6, 0), "mix": (4, 4, 2),
        "rare": (1, 1, 1), "Ärare": (1, 1, 0),
    }  # fmt: skip


def test_value_kinds_units_and_descriptions() -> None:
    """The kind is what values train has; the pipeline's description and normalization win over the source's."""
    rows = {row["code"]: row for row in vocabulary()}
    kinds = {"[PAD]": "special", "num": "numeric", "cat": "categorical", "mix": "mixed", "a_tie": "none"}
    assert {code: rows[code]["value_kind"] for code in kinds} == kinds
    assert (rows["num"]["description"], rows["num"]["parents"]) == ("mine", ["P"])
    assert rows["cat"]["description"] == "words"
    assert (rows["num"]["normalization"], rows["mix"]["normalization"]) == ("robust", "zscore")
    assert (rows["num"]["unit"], rows["cat"]["unit"]) == ("mg", None)
    assert (rows["cat"]["mean"], rows["cat"]["quantiles"], rows["cat"]["n_bins"]) == (None, None, 0)


def test_rare_codes_and_rare_categories_get_no_place() -> None:
    """Below `min_count` a code is left out; beyond `max_categories` the rarest texts, ties by name."""
    rows = vocabulary(min_count=2, max_categories=2)
    assert [row["code"] for row in rows[4:]] == ["num", "cat", "a_tie", "b_tie", "mix"]
    assert {row["code"]: row["categories"] for row in rows[4:]} == {
        "num": [], "cat": ["NEG", "ODD"], "a_tie": [], "b_tie": [], "mix": ["HOLD"],
    }  # fmt: skip
    assert next(r["categories"] for r in vocabulary() if r["code"] == "cat") == ["NEG", "ODD", "POS", "once"]


def test_codes_of_few_subjects_get_no_place() -> None:
    """Below `min_subjects` a code is left out, however many rows it has."""
    assert [row["code"] for row in vocabulary(min_subjects=4)[4:]] == ["num", "a_tie", "b_tie", "mix"]
