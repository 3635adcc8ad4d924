"""Conditions: how many records obey, counted by hand, and which numbers may be asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tawt.errors import ConfigError
from tawt.synthesis.conditions import obeyed, year_of
from tawt.synthesis.known import hold_given
from tawt.synthesis.origins import Origins
from tawt.synthesis.values import Meanings
from tests.unit.synthesis.test_validity import BIRTH, CATEGORY, HOUR, NA, NUMERIC, SEX, YEAR, F, M, records, vocabulary


def test_how_many_obey_is_counted_of_those_that_tell_and_of_all(tmp_path):
    """A code's ending, a text, a number as far as it was written, a year of birth; who tells nothing does not obey."""
    told = Meanings(vocabulary(tmp_path))
    of_80 = np.datetime64("1980", "us").astype(np.int64)
    some = records(
        [(F, None), (NA, None, 0.12, 3, NUMERIC), (BIRTH, HOUR)],
        [(F, None), (NA, None, 0.0, 3, NUMERIC), (BIRTH, 2 * YEAR)],
        [(M, None), (SEX, None, 0.0, 1, CATEGORY)],
        [(NA, HOUR, 0.12, 3, NUMERIC)],
    )
    some = replace(some, origin=np.full(4, of_80))
    asked = {"GENDER": "F", "Sex": "male", "LAB//NA": "140.5", "birth_year": "1980"}
    found = obeyed(some, told, asked, from_birth=True)
    assert {name: (n["told"], n["obeyed"]) for name, n in found.items()} == {
        "GENDER": (3, 2), "Sex": (1, 0), "LAB//NA": (2, 1), "birth_year": (2, 1),
    }  # fmt: skip
    assert obeyed(some, told, {"birth_year": "1980"}, from_birth=False) == {"birth_year": {"told": 0, "obeyed": 0}}


def test_a_number_is_asked_for_where_those_of_many_lie():
    """Beyond the means of the eleven lowest and highest nothing was learned: refused, and no one's number is told."""
    years = {i: float(year) for i, year in enumerate([1888, *range(1930, 1970), 2031])}
    who = np.arange(len(years))
    low, high = np.mean([1888, *range(1930, 1940)]), np.mean([*range(1960, 1970), 2031])
    for given in ("1940", str(int(low) + 1), str(int(high))):
        hold_given({"birth_year": given}, {"birth_year": years}, who)
    for given in ("1650", "1888", "2031", str(int(high) + 2)):
        with pytest.raises(ConfigError, match=rf"is {given}, .* expected {low:.4g} to {high:.4g}"):
            hold_given({"birth_year": given}, {"birth_year": years}, who)


def test_a_year_that_is_asked_for_is_that_of_all_births():
    """Each origin lies in it, at the hours of train; a year is a whole number; an anchor is nobody's birth and stays."""
    year = np.datetime64("2001", "us").astype(np.int64)
    origins = Origins.of(year + np.arange(40) * 24 * HOUR + 7 * HOUR)
    found = origins.in_year(1950).draw(np.arange(500), 0)
    assert set(found.astype("datetime64[us]").astype("datetime64[Y]").astype(str)) == {"1950"}
    assert set(found // HOUR % 24) == {7} and len(set(found // (24 * HOUR))) > 200
    assert set(Origins.of(np.full(50, year)).in_year(1950).draw(np.arange(3), 0)) == {year}
    assert year_of({"birth_year": "1950"}) == 1950 and year_of({"GENDER": "F"}) is None
    with pytest.raises(ConfigError, match="is no year"):
        year_of({"birth_year": "1950.5"})
