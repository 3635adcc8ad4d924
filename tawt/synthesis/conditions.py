"""What a set may be asked to be of: a static fact that real records tell, or the year that their births lie in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tawt.dataset.reader import Split
from tawt.dataset.records import OfSplit
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, nearest
from tawt.synthesis.values import Meanings

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
    if name == BIRTH_YEAR and splits[0].time_origin == "birth":
        for split in splits:
            year = split.origins.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
            found |= dict(zip(split.subject_ids.tolist(), map(float, year.tolist()), strict=True))
        return found
    own = [code == name or code.startswith(f"{name}//") for code in vocabulary.codes]
    told, statics = Meanings(vocabulary), set()
    for split in splits:
        for part in OfSplit(split, np.arange(split.n_subjects)).parts():
            part = part.keep(part.is_static)
            statics |= set(np.unique(part.data_type).tolist())
            part = part.keep(np.array(own)[part.data_type])
            numbers = told.numbers(part.data_type, part.value, part.value_status).tolist()
            texts = told.texts(part.data_type, part.value_token, part.value_status)
            codes = told.codes(part.data_type).tolist()
            for who, number, text, code in zip(part.subject_id[part.subject], numbers, texts, codes, strict=True):
                fact = number if number == number else text or code.partition("//")[2]
                if fact != "":
                    found.setdefault(int(who), fact)
    if not found:
        names = {vocabulary.codes[kind].partition("//")[0] for kind in statics}
        what = (
            "is told by no static row of train, expected a static fact, or `birth_year` where times count from births"
        )
        raise ConfigError(f"--condition {name}", what, nearest(name, sorted(names)))
    return found
