"""The tables: means over draws and folds, differences draw by draw, and the official form's two events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from recipes import PUBLISHED, PUBLISHED_EVENTS, TREES
from sklearn.metrics import average_precision_score, roc_auc_score
from steps import Said

from tawt.arrays import Floats
from tawt.evaluation.metrics import Binary, best_threshold
from tawt.evaluation.official import EVENT_TWO, event_one

_LEAST = 1e-6


def logit(chance: Floats) -> Floats:
    """Return log odds."""
    held = np.clip(chance, _LEAST, 1 - _LEAST)
    return np.log(held) - np.log1p(-held)


def mean_logit(models: Sequence[Said]) -> Said:
    """Return what several models say of the same stays together: the mean of their log odds."""
    mean = np.mean([logit(one.chance) for one in models], 0)
    assert all(np.array_equal(one.died, models[0].died) for one in models)
    return Said(1 / (1 + np.exp(-mean)), models[0].died)


@dataclass(frozen=True)
class Scores:
    """What each draw gave, `(d,)`."""

    auroc: Floats
    ap: Floats

    @staticmethod
    def of(draws: Sequence[Said]) -> Scores:
        """Measure each draw."""
        return Scores(
            np.array([roc_auc_score(one.died, one.chance) for one in draws]),
            np.array([average_precision_score(one.died, one.chance) for one in draws]),
        )


def text_of(rows: Mapping[str, Sequence[Said]], percent: int, on_set_a: bool) -> str:
    """Return the table of one share of the labels: a line a row, beside LightGBM on the same draws."""
    scores = {name: Scores.of(draws) for name, draws in rows.items()}
    n = len(next(iter(rows.values())))
    lines = [
        f"\n{percent} % of the labels, {n} draw{'s' if n > 1 else ''}",
        f"{'':40}{'AUROC':>15}{'AP':>15}  {f'minus {TREES} (draws better)':>36}",
    ]
    for name, one in scores.items():
        line = f"{name:40}{_spread(one.auroc):>15}{_spread(one.ap):>15}  "
        if name != TREES and TREES in scores:
            line += "".join(
                f"{_apart(a, b):>18}" for a, b in ((one.auroc, scores[TREES].auroc), (one.ap, scores[TREES].ap))
            )
        lines.append(line.rstrip())
    for row in PUBLISHED.get(percent, ()) if on_set_a else ():
        lines.append(f"{'published: ' + row.name:40}{row.auroc:>15.3f}{row.ap:>15.3f}  {row.source}")
    return "\n".join(lines)


def events_text(rows: Mapping[str, tuple[Said, Said]]) -> str:
    """Return the table of the official form: each row is what was said of the tuning stays and of set-c.

    The threshold of Event 1 is the best one of the tuning stays.
    """
    lines = [f"\n{'':40}{'AUROC':>10}{'AP':>10}{'Event 1':>10}{'Event 2':>10}"]
    for name, (tuning, test) in rows.items():
        threshold = best_threshold(Binary(tuning.died, tuning.chance))
        one = Binary(test.died, test.chance)
        weights = np.ones((1, len(test.died)))
        assert threshold is not None
        first, second = (float(metric.of(one, weights)[0]) for metric in (event_one(threshold), EVENT_TWO))
        score = Scores.of([test])
        lines.append(f"{name:40}{score.auroc[0]:>10.4f}{score.ap[0]:>10.4f}{first:>10.4f}{second:>10.2f}")
    lines += [f"{'published: ' + name:40}{'':>20}{a:>10.4f}{b:>10.2f}" for name, a, b in PUBLISHED_EVENTS]
    return "\n".join(lines)


def _spread(of: Floats) -> str:
    return f"{of.mean():.4f}" + (f" ±{of.std():.3f}" if len(of) > 1 else "")


def _apart(one: Floats, other: Floats) -> str:
    apart = one - other
    return f"{apart.mean():+.4f} ({int((apart > 0).sum())}/{len(apart)})"
