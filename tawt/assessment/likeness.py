"""Is a set like real records? In sentences: what is as like as other real people, what is farther, who else is."""

from __future__ import annotations

from collections.abc import Mapping

from tawt.contracts.cells import few
from tawt.contracts.synthetic import COPIES
from tawt.fidelity.groups import LEAST_SUBJECTS, Measure
from tawt.fidelity.metrics import metric_of
from tawt.fidelity.report import Fidelity
from tawt.fidelity.suite import CEILING, SYNTHETIC

_WITHIN, _NAMED = 0.03, 5
_TOLD = ("prevalence", "cooccurrence", "sequence", "discriminator_boosted", "discriminator_logistic")
"""Told by their numbers, and first."""
_TELLS = "discriminator_"
"""How the names of models begin that learn to tell the sets apart."""
_NO_CHANCE = 0.3
"""AUROC beyond that of other real people: of twenty people on each side about three and a half standard errors."""
_LIKE = (COPIES,)
"""Controls that are like real records, for they are some."""


def likeness(found: Fidelity) -> list[str]:
    """Return what is to be said of a set: of few people that nobody can tell, else who else is as like."""
    own, real = (found.sets[name] for name in (SYNTHETIC, CEILING))
    shown = [name for name in found.metrics if value(real.get(name)) != "-" and ":" not in name]
    near = {name: [one for one in shown if is_near(one, of.get(one), real.get(one))] for name, of in found.sets.items()}
    told = [name for name in (*_TOLD, *shown) if name in shown]
    far = [name for name in dict.fromkeys(told) if name not in near[SYNTHETIC]]
    caught = any(name.startswith(_TELLS) for name in far)  # what one model cannot tell is no praise where another can
    as_like = [_named(name, own, real) for name in _TOLD
               if name in near[SYNTHETIC] and not (caught and name.startswith(_TELLS))]  # fmt: skip
    of, n = f"{len(near[SYNTHETIC])} of {len(shown)} measures", few(found.n_subjects)
    if found.n_subjects < LEAST_SUBJECTS:
        why = f"there are {n} people in each set, and below {LEAST_SUBJECTS} chance alone moves every number far"
        apart = [name for name in far if name.startswith(_TELLS) and _beyond(own[name], real[name])]
        if apart:
            names = "; ".join(_named(name, own, real) for name in apart)
            return [f"It is not like real records: {names}. In what else it is, nobody can tell: {why}."]
        return [f"Nobody can tell whether it is like real records: {why}. What was measured stands below, and is no "
                "verdict."]  # fmt: skip
    lead = (f"By {of}, of {n} people in each set, it is as like the real test set as other real people are, or within "
            f"{_WITHIN} of it")  # fmt: skip
    said = [f"{lead}: {', '.join(as_like)}." if as_like else f"{lead}."]
    reach = [f"`{name}` {len(one)}" for name, one in near.items()
             if name not in (SYNTHETIC, CEILING, *_LIKE) and len(one) >= len(near[SYNTHETIC])]  # fmt: skip
    if reach:
        said.append(f"Controls that are known to be bad reach as many: {', '.join(reach)}.")
    if far:
        names = "; ".join(_named(name, own, real) for name in far[:_NAMED])
        said.append(f"It is farther in {names}" + ("." if len(far) <= _NAMED else "; and others."))
    return said


def is_near(name: str, own: Measure | None, real: Measure | None) -> bool:
    """Return whether a number is as good as that of other real people, within .03, or within their interval."""
    if own is None or real is None or own.value is None or real.value is None:
        return False
    better = metric_of(name).better
    worse = {
        "1": real.value - own.value, "0": own.value - real.value, "0.5": abs(own.value - 0.5) - abs(real.value - 0.5),
        "real": abs(own.value - real.value),
    }[better]  # fmt: skip
    return worse <= _WITHIN or (real.low is not None and real.high is not None and real.low <= own.value <= real.high)


def _beyond(own: Measure, real: Measure) -> bool:
    """Return whether a model tells a set by so much that it is no chance of few people."""
    return own.value is not None and real.value is not None and own.value - real.value > _NO_CHANCE


def value(one: Measure | None) -> str:
    """Return a number as a sentence tells it."""
    return "-" if one is None or one.value is None else f"{one.value:.3f}"


def _named(name: str, own: Mapping[str, Measure], real: Mapping[str, Measure]) -> str:
    title = metric_of(name).title
    told = name in _TOLD or name.startswith(_TELLS)
    return f"{title} {value(own.get(name))} (other real ones {value(real.get(name))})" if told else title
