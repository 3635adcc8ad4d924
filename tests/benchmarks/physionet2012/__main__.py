"""Death in hospital on PhysioNet-2012, 48 hours after admission: what pretraining is worth, beside what is simpler.

    python tests/benchmarks/physionet2012 --data FOLDER -w WORK [--labels 10 50 100] [--seeds 0 1] [--form official --train b]

FOLDER holds the sets and their outcomes as PhysioNet gives them. An encoder is pretrained on the stays of train without
their labels, and the task is learned from 10, 50 and 100 % of those: of it frozen, by fine-tuning, and by
self-training with a teacher for the stays without a label. Beside them stand baselines of `tawt evaluate` on the same labels.

`--form published`: with `set-a` and `Outcomes-a.txt` laid beside the others, set-a is the test set, and neither pretraining nor
the vocabulary sees it; without, each fifth of b and c in turn. `--form official` learns from the sets that `--train` names, is
asked about set-c, and measures the challenge's two events; the frozen row stands there again, calibrated by a curve that
was fitted to what probes say of stays whose labels they were not shown, and of all labels, none kept to stop by.

Every step is kept in WORK under a hash of what it depends on: run the command again and it goes on where it was.
Needs `pip install "tawt[benchmarks]"`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recipes import ENCODERS, FULL, RECIPES, TREES, USUAL, WITH_TREES
from stays import Draw, official, published, read_outcomes
from steps import Said, Steps, long_enough, prepare
from table import events_text, mean_logit, text_of

from tawt.config.load import merge, overrides
from tawt.evaluation.metrics import Binary
from tawt.evaluation.recalibrate import by_curve


def main() -> None:
    """Run what is missing, and print the tables."""
    given = _options()
    stays = read_outcomes(given.data)
    prepare(given.data, given.work / "all" / "workspace")
    stays = long_enough(given.work / "all" / "workspace", stays)
    on_set_a = bool((stays.set_name == "a").any())
    folds = published(stays, given.labels) if given.form == "published" else official(stays, given.train)
    folds = [fold for fold in folds if not given.folds or fold.name in given.folds]
    tables: dict[int, dict[str, list[Said]]] = {}
    events: dict[str, tuple[Said, Said]] = {}
    for fold in folds:
        place = given.work / fold.name
        prepare(given.data, place / "workspace", fold.splits())
        steps = Steps(place, fold)
        print(f"{fold.name}: {len(fold.train):,} stays to learn from, {len(fold.test):,} asked about", flush=True)
        runs = _pretrained(steps, given)
        if given.form == "official":
            events |= _official(steps, runs, given.rows)
            continue
        for percent, draws in fold.draws.items():
            for draw in draws:
                for name, said in _rows(steps, draw, percent, runs, given.rows).items():
                    tables.setdefault(percent, {}).setdefault(name, []).append(said)
    if given.form == "official":
        print(events_text(events))
    if given.form == "published":
        for percent, rows in tables.items():
            print(text_of(rows, percent, on_set_a))
        print("\nmean ± standard deviation over draws; an area by AP is no area by trapezoids")


def _options() -> Any:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("-w", "--work", type=Path, required=True)
    options.add_argument("--form", choices=("published", "official"), default="published")
    options.add_argument("--train", default="b", help="official: sets that are learned from, as in ab")
    options.add_argument("--labels", type=int, nargs="+", default=[10, 50, 100], help="percent of the labels")
    options.add_argument("--folds", nargs="+", default=[], help="some of the folds, as in fold_0; all by default")
    options.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="of pretraining; of several, the mean of what they say"
    )
    options.add_argument("--passes", type=int, default=12, help="of pretraining over the stays of train")
    options.add_argument("--rows", nargs="+", choices=list(RECIPES), default=list(USUAL))
    options.add_argument("--set", dest="settings", action="append", default=[], help="KEY=VALUE of every pretraining")
    return options.parse_args()


def _pretrained(steps: Steps, given: Any) -> dict[str, list[Path]]:
    """Return the runs of each encoder that a row asks for, one a seed."""
    wanted = {FULL} | {RECIPES[name].encoder for name in given.rows if len(steps.fold.tuning)}
    # without a stay to validate on, the last weights are taken
    changes = merge({} if len(steps.fold.tuning) else {"train": {"final": "last"}}, overrides(given.settings))
    return {
        encoder: [steps.pretrained(encoder, given.passes, seed, changes) for seed in given.seeds]
        for encoder in ENCODERS
        if encoder in wanted
    }


def _official(steps: Steps, runs: dict[str, list[Path]], names: Sequence[str]) -> dict[str, tuple[Said, Said]]:
    """Return what each row says of the stays that thresholds are chosen on, and of set-c; the frozen one calibrated, too.

    Where all stays are learned from, those are the same stays, each asked of a probe that was not shown its label.
    """
    ((percent, (draw,)),) = steps.fold.draws.items()
    left_out = mean_logit([steps.left_out(draw, run, percent) for run in runs[FULL]])
    curve = by_curve(Binary(left_out.died, left_out.chance))
    if not len(steps.fold.tuning):
        frozen = left_out, mean_logit([steps.said(draw, RECIPES["frozen"], run, percent) for run in runs[FULL]])
        return {
            "frozen, of all labels, calibrated": tuple(replace(one, chance=curve.mend(one.chance)) for one in frozen)
        }
    tuning, test = (_rows(steps, draw, percent, runs, names, split) for split in ("tuning", "held_out"))
    rows = {name: (tuning[name], said) for name, said in test.items()}
    calibrated = tuple(replace(one, chance=curve.mend(one.chance)) for one in rows["frozen"])
    return {"frozen, calibrated": calibrated, **rows}


def _rows(
    steps: Steps, draw: Draw, percent: int, runs: dict[str, list[Path]], names: Sequence[str], split: str = "held_out"
) -> dict[str, Said]:
    """Return what each row says of the stays of a split, with the labels of one draw."""
    rows: dict[str, Said] = {}
    for name in names:
        recipe = RECIPES[name]
        if recipe.at(percent):
            rows[name] = mean_logit([steps.said(draw, recipe, run, percent, split) for run in runs[recipe.encoder]])
    beside = steps.beside(draw, runs[FULL][0], percent, split)
    both = {f"{name}, with {TREES}": mean_logit([rows[name], beside[TREES]]) for name in WITH_TREES if name in rows}
    return {**rows, **both, **beside}


if __name__ == "__main__":
    main()
