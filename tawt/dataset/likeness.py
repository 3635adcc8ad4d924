"""Which old data_types a new one is like: said by a person, by its family, by shared parents, or by its description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tawt.arrays import Floats
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, nearest

Init = Literal["similar", "parents", "text", "random"]
NEAREST = 5
"""So many old data_types, by their descriptions, make a new one."""
TEMPERATURE = 0.1
"""A likeness of 0.1 less weighs a factor e less."""
LEAST = 0.2
"""A description that is less like all others than this is like none."""
_GRAMS = (3, 4, 5)


@dataclass(frozen=True)
class Began:
    """What the rows of one new data_type begin from."""

    data_type: int
    """Its index."""
    how: str
    """In words: similar, family, parents, text or random."""
    sources: tuple[int, ...] = ()
    """Old data_types; none = drawn at random."""
    weights: tuple[float, ...] = ()
    """Of the sources; they sum to 1."""


def beginnings(old: Vocabulary, new: Vocabulary, init: Init, similar: Mapping[str, str]) -> list[Began]:
    """Return what each data_type begins from that the longer of two vocabularies has behind the other.

    Args:
        old: The shorter one.
        new: The one that goes on from it.
        init: How they begin: where `similar` names nothing, as the mean of their family (codes alike but for what
            stands behind the last `//`); as the mean of those that share a parent; as a mean of those with a
            description alike; or at random, as do those for which nothing is found.
        similar: New code -> the old one that it begins as, whatever `init` says.

    Raises:
        ConfigError: A code is not among the new or the old ones.
    """
    index = {code: i for i, code in enumerate(old.codes)}
    added = range(len(old), len(new))
    for code, like in similar.items():
        for one, among in ((code, new.codes[len(old) :]), (like, old.codes)):
            if one not in among:
                what = "is no new data_type" if one == code else "is no data_type that the run knows"
                raise ConfigError(f"--similar {code}={like}", f"`{one}` {what}, expected one", nearest(one, among))
    named = {code: (index[like],) for code, like in similar.items()}
    found = _FINDERS[init](old, new)
    out = []
    for i in added:
        if new.codes[i] in named:
            out.append(Began(i, "similar", named[new.codes[i]], (1.0,)))
        else:
            out.append(found.get(i) or Began(i, "random"))
    return out


def _by_family(old: Vocabulary, new: Vocabulary) -> dict[int, Began]:
    families: dict[tuple[str, bool], list[int]] = {}
    for i, code in enumerate(old.codes):
        if "//" in code:
            families.setdefault((code.rpartition("//")[0], bool(old.n_bins[i])), []).append(i)
    found = {}
    for i in range(len(old), len(new)):
        family, _, last = new.codes[i].rpartition("//")
        if last and (alike := families.get((family, bool(new.n_bins[i])))):
            found[i] = _mean(i, "family", alike)
    return found


def _by_parents(old: Vocabulary, new: Vocabulary) -> dict[int, Began]:
    parents = [{code, *(known or ())} for code, known in zip(new.codes, _column(new, "parents"), strict=True)]
    own: dict[str, list[int]] = {}
    for i in range(len(old)):
        for parent in parents[i]:
            own.setdefault(parent, []).append(i)
    found = {}
    for i in range(len(old), len(new)):
        alike = sorted({j for parent in parents[i] for j in own.get(parent, ())})
        if kept := _alike(new, i, alike):
            found[i] = _mean(i, "parents", kept)
    return found


def _by_text(old: Vocabulary, new: Vocabulary) -> dict[int, Began]:
    texts = [
        text or " ".join(code.split("//")) for code, text in zip(new.codes, _column(new, "description"), strict=True)
    ]
    vectors = _vectors(texts)
    own: dict[str, tuple[list[int], list[float]]] = {}
    for i in range(len(old)):
        if old.value_kind[i] != "special":
            for gram, weight in vectors[i].items():
                places, weights = own.setdefault(gram, ([], []))
                places.append(i)
                weights.append(weight)
    postings = {gram: (np.array(places), np.array(weights)) for gram, (places, weights) in own.items()}
    found = {}
    for i in range(len(old), len(new)):
        likeness = np.zeros(len(old))
        for gram, weight in vectors[i].items():
            if gram in postings:
                at, theirs = postings[gram]
                likeness[at] += weight * theirs
        kept = np.array(_alike(new, i, np.flatnonzero(likeness >= LEAST).tolist()), dtype=np.int64)
        if len(kept):
            nearest_ = kept[np.argsort(-likeness[kept], kind="stable")[:NEAREST]]
            share: Floats = np.exp((likeness[nearest_] - likeness[nearest_[0]]) / TEMPERATURE)
            found[i] = Began(i, "text", tuple(nearest_.tolist()), tuple((share / share.sum()).tolist()))
    return found


def _at_random(old: Vocabulary, new: Vocabulary) -> dict[int, Began]:
    return {}


_FINDERS = {"similar": _by_family, "parents": _by_parents, "text": _by_text, "random": _at_random}


def _alike(new: Vocabulary, i: int, found: list[int]) -> list[int]:
    """Return those that have numbers as it has, where some have; else all."""
    same = [j for j in found if bool(new.n_bins[j]) == bool(new.n_bins[i])]
    return same or found


def _mean(i: int, how: str, alike: list[int]) -> Began:
    return Began(i, how, tuple(alike), (1 / len(alike),) * len(alike))


def _column(vocabulary: Vocabulary, name: str) -> list[Any]:
    return list(vocabulary.table()[name].to_pylist())


def _vectors(texts: list[str]) -> list[dict[str, float]]:
    """Return the tf-idf of the letters that follow one another in each text, of length 1."""
    counts = []
    for text in texts:
        plain = f" {' '.join(text.lower().split())} "
        counts.append(Counter(plain[at : at + n] for n in _GRAMS for at in range(len(plain) - n + 1)))
    in_texts = Counter(gram for count in counts for gram in count)
    out = []
    for count in counts:
        grams = list(count)
        tf: Floats = 1 + np.log(np.array([count[gram] for gram in grams], dtype=np.float64))
        idf: Floats = np.log((1 + len(texts)) / (1 + np.array([in_texts[gram] for gram in grams]))) + 1
        vector: Floats = tf * idf
        out.append(dict(zip(grams, (vector / np.sqrt(vector @ vector)).tolist(), strict=True)))
    return out
