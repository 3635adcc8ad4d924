"""What a set may be asked to be of: a static fact that real records tell, or the year that their births lie in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tawt.contracts.dataset import BIRTH
from tawt.dataset.reader import Split
from tawt.dataset.records import OfSplit, Records
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, nearest
from tawt.synthesis.values import Meanings
from tawt.transforms.shards import NOWHERE

BIRTH_YEAR = "birth_year"


def asked(conditions: Sequence[str]) -> dict[str, str]:
    """Return conditions, `NAME=VALUE`, by name.

    Raises:
        ConfigError: One is of another form, or stands twice.
    """
    found: dict[str, str] = {}
    for one in conditions:
        name, equals, value = (part.strip() for part in one.partition("="))
        if not equals or not name or not value or name in found:
            what = "is given twice" if name in found else "is none, expected `NAME=VALUE`"
            raise ConfigError(f"--condition {one}", what, "as `--condition GENDER=F`")
        found[name] = value
    return found


def year_of(conditions: Mapping[str, str]) -> int | None:
    """Return the year of birth that is asked for; None = none is.

    Raises:
        ConfigError: It is no whole number.
    """
    year = conditions.get(BIRTH_YEAR)
    if year is not None and not year.isdecimal():
        raise ConfigError(f"--condition {BIRTH_YEAR}={year}", "is no year, expected one", f"as `{BIRTH_YEAR}=1950`")
    return int(year) if year is not None else None


def facts_of(splits: Sequence[Split], vocabulary: Vocabulary, name: str) -> dict[int, str | float]:
    """Return what is known of each subject under a name.

    Args:
        splits: Whose subjects.
        vocabulary: Of their dataset.
        name: `birth_year`, a static data_type (`Gender`), or the beginning of one (`GENDER` of `GENDER//F`).

    Raises:
        ConfigError: Nothing is known under this name.
    """
    found: dict[int, str | float] = {}
    meanings, statics = Meanings(vocabulary), set()
    for split in splits:
        for part in OfSplit(split, np.arange(split.n_subjects)).parts():
            found |= facts_in(part, meanings, name, split.time_origin == "birth")
            statics |= set(np.unique(part.data_type[part.is_static]).tolist())
    if not found:
        names = {vocabulary.codes[kind].partition("//")[0] for kind in statics}
        what = (
            "is told by no static row of train, expected a static fact, or `birth_year` where times count from births"
        )
        raise ConfigError(f"--condition {name}", what, nearest(name, sorted(names)))
    return found


def facts_in(records: Records, meanings: Meanings, name: str, from_birth: bool) -> dict[int, str | float]:
    """Return what records tell under a name, by subject; who tells nothing is not there.

    Args:
        records: Real or invented ones.
        meanings: What their values stand for.
        name: As of `facts_of`.
        from_birth: Whether their times count from births.
    """
    codes = meanings.vocabulary.codes
    if name == BIRTH_YEAR and from_birth:
        births = records.keep(records.data_type == (codes.index(BIRTH) if BIRTH in codes else NOWHERE))
        moment = (births.origin[births.subject] + births.time).astype("datetime64[us]")
        year = moment.astype("datetime64[Y]").astype(np.int64) + 1970
        return _first(births, map(float, year.tolist()))
    own = np.array([code == name or code.startswith(f"{name}//") for code in codes])
    part = records.keep(records.is_static & own[records.data_type])
    numbers = meanings.numbers(part.data_type, part.value, part.value_status).tolist()
    texts = meanings.texts(part.data_type, part.value_token, part.value_status)
    rest = [code.partition("//")[2] for code in meanings.codes(part.data_type).tolist()]
    return _first(part, (n if n == n else text or code for n, text, code in zip(numbers, texts, rest, strict=True)))


def _first(records: Records, facts: Iterable[str | float]) -> dict[int, str | float]:
    found: dict[int, str | float] = {}
    for who, fact in zip(records.subject_id[records.subject].tolist(), facts, strict=True):
        if fact != "":
            found.setdefault(who, fact)
    return found


def obeyed(
    records: Records, meanings: Meanings, conditions: Mapping[str, str], from_birth: bool
) -> dict[str, dict[str, int]]:
    """Return, by condition, how many records tell what it is of, `told`, and are of it, `obeyed`.

    Args:
        records: Invented ones.
        meanings: What their values stand for.
        conditions: What was asked for, by name; a number is obeyed as far as it was written.
        from_birth: Whether their times count from births.
    """
    found = {}
    for name, value in conditions.items():
        facts = [*facts_in(records, meanings, name, from_birth).values()]
        found[name] = {"told": len(facts), "obeyed": sum(_is(fact, value) for fact in facts)}
    return found


def _is(fact: str | float, value: str) -> bool:
    if isinstance(fact, str):
        return fact == value
    return round(fact, len(value.partition(".")[2])) == float(value)
