"""Which records a review shows: as many of each kind as there are, whatever the coin says, and what does not fit is told."""

from __future__ import annotations

import re

import pytest

from tawt.errors import ConfigError
from tawt.reviews.chosen import choose
from tests import toy


def test_a_review_of_few_real_records_hangs_on_no_coin():
    """Forty of 20 real ones and many invented: each seed gives some of both, a quarter at least, and differs."""
    found = {int(choose(toy.mixed(20, 1), toy.mixed(60, 2), 40, seed).synthetic.sum()) for seed in range(30)}
    assert min(found) == 20 and len(found) > 3 and max(found) <= 30


@pytest.mark.parametrize(("n_real", "n_synthetic", "n_told"), [(24, 60, "84"), (12, 200, "51"), (200, 12, "51")])
def test_what_is_too_many_is_told_with_what_fits(n_real, n_synthetic, n_told):
    """How many there are of each, and the most that can be shown: that many can, and one more can not."""
    sets = toy.mixed(n_real, 1), toy.mixed(n_synthetic, 2)
    with pytest.raises(ConfigError, match=f"{n_real} real and {n_synthetic} synthetic") as error:
        choose(*sets, 500, 0)
    most = int(re.search(r"ask for (\d+) at most", error.value.hint)[1])
    assert str(most) == n_told and choose(*sets, most, 0).records.n_subjects == most
    with pytest.raises(ConfigError):
        choose(*sets, most + 1, 0)


def test_few_real_records_are_not_counted():
    """Neither how many there are is told, nor a number that it follows from."""
    with pytest.raises(ConfigError) as error:
        choose(toy.mixed(5, 1), toy.mixed(60, 2), 40, 0)
    assert "<11 real" in str(error.value) and not re.search(r"\b(5|23)\b", f"{error.value} {error.value.hint}")
