"""The catalogue of leaks is whole: what others name, and what a reader needs of each."""

from __future__ import annotations

from tawt.labels.leaks.catalogue import BY_CODE, FAMILIES, LEAKS, leaks_page

PUBLIC = [
    "ENTITY_OVERLAP",
    "DUPLICATE_RECORD",
    "SITE_OVERLAP",
    "SPLIT_ORDER",
    "FUTURE_EVENT",
    "AVAILABILITY_LAG",
    "INTERVAL_CROSSING",
    "UNDATED_SOURCE",
    "HINDSIGHT_VARIABLE",
    "OUTCOME_ENCODING",
    "OUTCOME_PROXY",
    "FIRST_DAY_SUMMARY",
    "SINGLE_FEATURE_DOMINANCE",
    "MISSINGNESS_PROXY",
    "POST_OUTCOME_INSTANCE",
    "COHORT_FUTURE_INFORMATION",
    "PREPROCESSING_FIT",
    "SYNTHETIC_IN_EVALUATION",
    "EVALUATION_REUSE",
]


def test_every_public_mechanism_is_there_once() -> None:
    """The 19 codes that icu-leakage-check 0.1.0 names come first, and no code stands twice."""
    assert len(PUBLIC) == 19 and [leak.code for leak in LEAKS[:19]] == PUBLIC
    assert len(BY_CODE) == len(LEAKS) and {leak.family for leak in LEAKS} == {*FAMILIES}


def test_the_page_says_all_of_each_leak() -> None:
    """The page is made of the catalogue: code, name, example, remedy and test of every leak, as sentences."""
    page = leaks_page()
    for leak in LEAKS:
        assert f"### `{leak.code}`: {leak.name}\n" in page
        for text in (leak.example, leak.remedy, leak.tested):
            assert text in page and text.endswith(".")
