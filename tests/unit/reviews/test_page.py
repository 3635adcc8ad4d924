"""What a rater sees: a record as it is, and nothing that tells who made it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.contracts.value_status import ValueStatus
from tawt.dataset.records import Records
from tawt.dataset.vocabulary import Vocabulary, read_vocabulary
from tawt.reviews.page import item, page
from tawt.reviews.timeline import MOST_ROWS, MOST_TRENDS, sheets
from tawt.synthesis.readable import Readable
from tests.toy import N_CODES, oracle

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
N = 150
"""Records of each label."""


@pytest.fixture(scope="module")
def vocabulary(shards, tmp_path_factory) -> Vocabulary:
    """Of 60 data_types; numbers have the mean 5 and the deviation 2."""
    folder = tmp_path_factory.mktemp("vocabulary")
    shards.write_vocabulary(folder, N_CODES)
    return read_vocabulary(folder / "vocabulary" / "vocabulary.parquet")


def named(vocabulary: Vocabulary, folder: Path, **changed: dict[int, object]) -> Vocabulary:
    """The vocabulary with other cells of some columns."""
    table = vocabulary.table()
    for name, cells in changed.items():
        column = table[name].to_pylist()
        for row, cell in cells.items():
            column[row] = cell
        table = table.set_column(
            table.column_names.index(name), table.field(name), pa.array(column, table.field(name).type)
        )
    pq.write_table(table, folder / "named.parquet")
    return read_vocabulary(folder / "named.parquet")


def items(records: Records, readable: Readable) -> list[str]:
    return [item(sheet) for sheet in sheets(records, readable)]


def of(rows: list[tuple[int | None, int, float, int, int]]) -> Records:
    """One record of rows (time, data_type, value, token, status); without a time they are static."""
    static = np.array([row[0] is None for row in rows])
    columns = [np.array([row[k] or 0 for row in rows]) for k in range(5)]
    return Records(
        np.array([987654321]), np.array([123]), np.array([0, len(rows)]), static, columns[0].astype(np.int64),
        columns[1].astype(np.int32), columns[2].astype(np.float32), columns[3].astype(np.int32),
        columns[4].astype(np.uint8),
    )  # fmt: skip


def told_apart(own: list[str], other: list[str]) -> float:
    """AUC of a ridge regression over counts of three bytes in a row, learned from one half and asked of the other."""
    texts, label = [*own, *other], np.repeat([0.0, 1.0], [len(own), len(other)])
    counts = np.zeros((len(texts), 2048))
    for row, text in zip(counts, texts, strict=True):
        raw = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
        three = (raw[:-2] * 65_521 + raw[1:-1] * 257 + raw[2:]) % 2047
        row[:2047] = np.log1p(np.bincount(three, minlength=2047))
        row[2047] = np.log(len(raw))
    counts -= counts.mean(0)
    half = np.random.default_rng(0).permutation(len(texts)) % 2 == 0
    learned = counts[half]
    weight = np.linalg.solve(learned @ learned.T + 50 * np.eye(half.sum()), label[half] - label[half].mean())
    score = counts[~half] @ (learned.T @ weight)
    fake, real = score[label[~half] == 1], score[label[~half] == 0]
    return float((fake[:, None] > real).mean())


def test_no_byte_of_a_record_tells_its_label(vocabulary: Vocabulary) -> None:
    """Of records of one process under two labels a classifier of bytes guesses; one decimal more, and it knows."""
    readable = Readable(vocabulary)
    own, other = (items(oracle(N, seed).records, readable) for seed in (1, 2))
    assert abs(told_apart(own, other) - 0.5) < 0.1
    finer = Readable(vocabulary)
    finer.decimals = tuple(one + 1 for one in readable.decimals)
    assert told_apart(own, items(oracle(N, 2).records, finer)) > 0.95


def test_a_name_says_no_more_than_tells_it_from_others(vocabulary: Vocabulary, tmp_path: Path) -> None:
    """What a dictionary puts behind most names is left out, as is a unit that stands behind the number, where no two
    are called alike then; what ends the names of a few, or of what is no number, stays."""
    said = {
        4: "Potassium, Blood, Chemistry", 6: "Sodium, Blood, Chemistry", 7: "Sodium, Urine, Chemistry",
        8: "Calcium, Total, Blood, Chemistry", 9: "Temperature Fahrenheit", 11: "Weight (lbs.)", 12: "Weight (kg)",
    }  # fmt: skip
    words = named(
        vocabulary, tmp_path, description={**said, 10: "Anemia, unspecified"}, unit=dict.fromkeys(said, "kg"),
        quantiles={kind: [0.0, 1.0] for kind in said},
    )  # fmt: skip
    assert [Readable(words).names[kind] for kind in (*said, 10)] == [
        "Potassium", "Sodium, Blood", "Sodium, Urine", "Calcium, Total", "Temperature", "Weight (given in lbs)",
        "Weight (given in kg)", "Anemia, unspecified",
    ]  # fmt: skip


def test_what_is_not_shown_leaves_no_trace(vocabulary: Vocabulary) -> None:
    """Other ids, origins, digits behind the last one, seconds and an order within a minute give the same bytes."""
    rng, readable = np.random.default_rng(3), Readable(vocabulary)
    rough = oracle(20, 3).records
    n, owner = len(rough.time), rough.subject
    assert {readable.decimals[kind] for kind in rough.data_type} == {0}
    whole = replace(rough, time=rough.time // MINUTE * MINUTE, value=np.round(rough.value))
    first = np.zeros(n, bool)
    first[whole.bounds[:-1]] = True
    seconds = np.where(first, 0, rng.integers(0, MINUTE, n))
    moved = replace(
        whole,
        subject_id=whole.subject_id + 10**9, origin=whole.origin + 77 * DAY,
        time=whole.time + seconds + (5 * DAY + 7 * HOUR + rng.integers(0, MINUTE)),
        value=whole.value + rng.uniform(-0.2, 0.2, n).astype(np.float32), value_token=rng.integers(1, 9, n),
    )  # fmt: skip
    order = np.lexsort((rng.random(n), moved.time // MINUTE, owner))
    columns = ("is_static", "time", "data_type", "value", "value_token", "value_status")
    shuffled = replace(moved, **{name: getattr(moved, name)[order] for name in columns})
    before = items(whole, readable)
    assert before == items(shuffled, readable)
    assert before != items(replace(whole, value=whole.value + 1), readable), "what is shown does count"


def test_a_record_reads_as_it_is(vocabulary: Vocabulary, tmp_path: Path) -> None:
    """Age, statics, moments from the first one on, units, bounds, categories and missing values, each in words."""
    words = named(
        vocabulary, tmp_path, code={5: "MEDS_BIRTH", 10: "ICU_ADMISSION//SURGICAL"},
        description={4: "Lactate", 6: "Sex", 7: "Sodium"},
    )  # fmt: skip
    number, category = ValueStatus.NUMERIC, ValueStatus.CATEGORY
    start = int(64.5 * 365.2425 * DAY)
    record = of([
        (None, 6, 0.0, 2, category), (None, 9, 0.0, 0, ValueStatus.ABSENT),
        (0, 5, 0.0, 0, ValueStatus.NONE),
        (start, 10, 0.0, 0, ValueStatus.NONE), (start, 4, -1.0, 1, number),
        (start + 90 * MINUTE, 4, -2.5, 1, ValueStatus.CENSORED_LOW), (start + 90 * MINUTE, 7, 0.0, 0, ValueStatus.OUT_OF_RANGE),
        (start + 2 * DAY, 4, 4.0, 5, number), (start + 2 * DAY, 4, 2.0, 8, number),
    ])  # fmt: skip
    (sheet,) = sheets(record, Readable(words))
    assert [(fact.name, fact.text, fact.missing) for fact in sheet.facts] == [
        ("Age", "64 years", False), ("Sex", "NEG", False), ("LAB: 00009", "no value", True),
    ]  # fmt: skip
    assert [(row.when, [f"{fact.name} {fact.text}".strip() for fact in row.facts]) for row in sheet.rows] == [
        ("day 1, 0 h", ["ICU admission: SURGICAL", "Lactate 3 mmol/L"]),
        ("day 1, 1 h 30 min", ["Lactate <0 mmol/L", "Sodium out of range"]),
        ("day 3, 0 h", ["Lactate 9, 13 mmol/L"]),
    ]
    assert sheet.n_entries == 6 and not sheet.trends


def test_a_record_of_thousands_of_events_stays_short(vocabulary: Vocabulary) -> None:
    """Rows grow wider and trends thinner, so that a page holds them; each number is still in a range or a value."""
    rng, n = np.random.default_rng(4), 8000
    time = np.sort(rng.integers(0, 90 * DAY, n)).tolist()
    kinds = rng.choice([4, 7, 9, 12], n).tolist()
    record = of([(t, kind, float(v), 1, 1) for t, kind, v in zip(time, kinds, rng.normal(0, 1, n), strict=True)])
    (sheet,) = sheets(record, Readable(vocabulary))
    text = item(sheet)
    assert sheet.width > 1 and 10 < len(sheet.rows) <= MOST_ROWS and 1 < len(sheet.trends) <= MOST_TRENDS
    assert len(text) < 60_000
    told = [int(k) for row in sheet.rows for fact in row.facts for k in re.findall(r"\((\d+) times", fact.text)]
    assert sum(told) > 0.99 * n
    for trend in sheet.trends:
        assert f"{trend.number.min():.0f} to {trend.number.max():.0f}" in text
    drawn = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', text)
    assert all(0 <= float(x) <= 320 and 0 <= float(y) <= 56 for x, y in drawn)


def test_stays_that_lie_years_apart_can_be_read(vocabulary: Vocabulary) -> None:
    """On the axis of trends a pause is a day, hours within a stay stay hours, and no line leads over the pause."""
    hours = [0, 1, 2, 3, 20_000, 20_001, 20_002, 20_006]
    record = of([(hour * HOUR, 4, 0.5 * i, 1, 1) for i, hour in enumerate(hours)])
    (sheet,) = sheets(record, Readable(vocabulary))
    (trend,) = sheet.trends
    assert (trend.place / 60).tolist() == [0, 1, 2, 3, 27, 28, 29, 33] and sheet.axis == 33 * 60
    text = item(sheet)
    assert text.count("<polyline ") == 2 and "shortened" in text and sheet.trend_minutes == 20_006 * 60


class Tags(HTMLParser):
    """Which tags a page has, their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = '</td></article><script>alert(1)</script><img src=x onerror="alert(2)">${policy}'


def test_names_of_a_dataset_are_text(vocabulary: Vocabulary, tmp_path: Path) -> None:
    """Mark-up in a code, a description, a unit or a category is shown as it stands; what turns a line is written out."""
    plain = vocabulary.categories[6]
    hostile = named(
        vocabulary, tmp_path, code={5: f"A//{HOSTILE}"}, unit={4: f'x"{HOSTILE}'},
        description={4: HOSTILE, 6: "Sex\u202emoc"}, categories={6: [HOSTILE, *plain[1:]]},
    )  # fmt: skip
    rows = [(i * HOUR, 4, 0.1 * i, 1, ValueStatus.NUMERIC) for i in range(12)]
    record = of([(None, 6, 0.0, 2, ValueStatus.CATEGORY), (0, 5, 0.0, 0, ValueStatus.NONE), *rows])
    found, safe = (
        Tags(page("abc", items(record, Readable(words)))) for words in (hostile, named(vocabulary, tmp_path))
    )
    assert found.tags == safe.tags and found.attributes == safe.attributes
    assert found.tags["script"] == 1 and found.tags["svg"] == 1 and "img" not in found.tags
    assert found.text.count(HOSTILE) >= 14 and "Sex\\u202emoc" in found.text


def test_the_page_needs_nothing_else(vocabulary: Vocabulary) -> None:
    """One file: no address, no handler in the text, and a policy that lets no script run but its own."""
    found = page("abc", items(oracle(3, 1).records, Readable(vocabulary)))
    tags = Tags(found)
    assert "http:" not in found and "https:" not in found
    assert not tags.attributes & {"src", "href", "style"} and not any(name.startswith("on") for name in tags.attributes)
    assert "default-src 'none'" in found and re.search(r"script-src 'sha256-[\w+/]+=*'", found)
    assert found.count("<article ") == 3 and found.count(" hidden>") == 2


def test_a_record_of_statics_alone_is_a_page_too(vocabulary: Vocabulary) -> None:
    """Where nothing has a time there are no rows and no trends, and nothing breaks."""
    (sheet,) = sheets(of([(None, 5, 0.0, 0, 0)]), Readable(vocabulary))
    assert len(sheet.facts) == 1 and sheet.rows == () == sheet.trends
