"""What a frozen embedding is worth with a tenth of the labels: death in hospital on PhysioNet-2012, 48 hours after admission.

    python tests/benchmarks/physionet2012_probe --data FOLDER -w WORK [--seeds 0 1] [--epochs 8] [--variants ...] [--last-fifth]

FOLDER holds sets b and c and their outcomes as PhysioNet gives them. They are ingested and encoded, and an encoder is pretrained on
them without labels, once per variant. Each is frozen, and logistic regression is fitted on its centred embedding with a tenth of the
labels, ten times over, beside logistic regression and LightGBM on summary features of the same triplets. With `set-a` and
`Outcomes-a.txt` laid beside the others, set-a is the test set and neither pretraining nor the vocabulary sees it; without it, the test is
on the stays of b and c whose labels were not given, which pretraining has seen without labels.

Every step is kept in WORK under a hash of what it depends on: run the command again and it goes on where it was.
Needs `pip install "tawt[benchmarks]"`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from probes import boosted_trees, centred, flagged, logistic_regression, measure
from records import Draw, Floats, Stays, embeddings_of, prepare, summaries
from variants import RANDOM, VARIANTS, config_of

import tawt
from tawt.config.load import overrides
from tawt.config.train import PretrainConfig
from tawt.files import write_json

Scores = dict[str, list[float]]
"""`auroc` and `ap` of each draw, and what was `chosen` in it."""
TREES, REGRESSION = "LightGBM on summaries", "logistic regression on summaries"


def main() -> None:
    """Run what is missing, and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("-w", "--work", type=Path, required=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    options.add_argument(
        "--set", dest="settings", action="append", default=[], help="KEY=VALUE of every pretraining config"
    )
    options.add_argument(
        "--last-fifth", action="store_true", help="test on the stays that the published split keeps for validation"
    )
    given = options.parse_args()
    stays = replace(prepare(given.data, given.work), on_last_fifth=given.last_fifth)
    probe = Probe(given.work, stays)
    test = "set-a" if stays.has_test_set else "stays of b and c without a label (seen in pretraining)"
    if given.last_fifth:
        test = f"the {len(stays.draws[0].test):,} stays kept for validation (seen in pretraining)"
    print(
        f"{len(stays.subject_id):,} stays; {len(stays.draws)} draws of {len(stays.draws[0].fit)} labels, tested on {test}"
    )
    rows = {TREES: probe.scores("trees", lambda draw: boosted_trees(probe.summaries, stays.died, draw))}
    rows[REGRESSION] = probe.scores(
        "regression", lambda draw: logistic_regression(flagged(probe.summaries, draw.fit), stays.died, draw)
    )
    changes = overrides(given.settings)
    n_pretrained = int((stays.set_name != "a").sum())
    for seed in given.seeds:
        for name in given.variants:
            config = config_of(name, given.epochs, n_pretrained, seed, changes)
            label = name if len(given.seeds) == 1 else f"{name}, seed {seed}"
            rows[label] = probe.pretrained(label, config)
    show(rows, stays)
    if len(given.seeds) > 1:
        show_seeds(rows, given.variants, given.seeds)


class Probe:
    """Steps that are made once per hash of what they depend on."""

    def __init__(self, work: Path, stays: Stays) -> None:
        self.work, self.stays = work, stays
        self.data = hashlib.sha256((stays.dataset.folder / "dataset.json").read_bytes()).hexdigest()
        self._summaries: Floats | None = None

    @property
    def summaries(self) -> Floats:
        """Summary features of all stays, made when they are first asked for."""
        if self._summaries is None:
            self._summaries = summaries(self.stays)
        return self._summaries

    def scores(self, key: str, fit: Callable[[Draw], tuple[Floats, float]]) -> Scores:
        """Fit and measure on every draw, or read what an earlier run found."""
        place = "scores_last_fifth" if self.stays.on_last_fifth else "scores"
        path = self.work / place / f"{key}-{self._hash(key)}.json"
        if not path.exists():
            found: Scores = {"auroc": [], "ap": [], "chosen": []}
            for draw in self.stays.draws:
                score, chosen = fit(draw)
                auroc, ap = measure(score, self.stays.died, draw)
                for name, number in (("auroc", auroc), ("ap", ap), ("chosen", float(chosen))):
                    found[name].append(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, found)
        read: Scores = json.loads(path.read_text())
        return read

    def pretrained(self, label: str, config: PretrainConfig) -> Scores:
        """Pretrain, embed, probe."""
        workspace = self.stays.dataset.folder.parent
        key = self._hash(config.model_dump_json())
        run, out = self.work / "runs" / key, self.work / "embeddings" / f"{key}.parquet"
        if not (run / "model.safetensors").exists():
            print(f"{label}: pretraining, {config.train.max_steps} steps", flush=True)
            began = time.monotonic()
            tawt.pretrain(workspace, config, device="cpu", out=run, resume=run.exists())
            print(f"{label}: {time.monotonic() - began:.0f} s", flush=True)
        if not out.exists():
            tawt.embed(workspace, run, out=out, device="cpu", splits=stays_splits(self.stays))

        def fit(draw: Draw) -> tuple[Floats, float]:
            return logistic_regression(embedding, self.stays.died, draw)

        embedding = centred(embeddings_of(out, self.stays))
        return self.scores(f"embedding-{key}", fit)

    def _hash(self, text: str) -> str:
        return hashlib.sha256(f"{self.data} {text}".encode()).hexdigest()[:12]


def stays_splits(stays: Stays) -> list[str]:
    """Splits that hold a stay."""
    return [name for name in stays.dataset.split_names if stays.dataset.split(name).n_subjects]


def show(rows: dict[str, Scores], stays: Stays) -> None:
    """Print mean and standard deviation over draws, and differences draw by draw."""

    def of(name: str, metric: str) -> Floats:
        return np.array(rows[name][metric])

    references = [name for name in (TREES, next((n for n in rows if n.startswith(RANDOM)), "")) if name]
    print(f"\n{'':34}{'AUROC':>14}{'AP':>14}" + "".join(f"  {'minus ' + name:>31}" for name in references))
    print(f"{'':62}" + f"  {'AUROC (better)':>16}{'AP (better)':>15}" * len(references))
    for name in rows:
        line = f"{name:34}" + "".join(f"{of(name, m).mean():8.4f} ±{of(name, m).std():.3f}" for m in ("auroc", "ap"))
        for reference in references:
            line += "  "
            for metric in ("auroc", "ap"):
                apart = of(name, metric) - of(reference, metric)
                text = f"{apart.mean():+.4f} ({(apart > 0).sum()}/{len(apart)})" if name != reference else ""
                line += f"{text:>{16 if metric == 'auroc' else 15}}"
        print(line)
    print(f"mean ± standard deviation over {len(stays.draws)} draws; in brackets, draws in which the row is better")


def show_seeds(rows: dict[str, Scores], variants: Sequence[str], seeds: Sequence[int]) -> None:
    """Print what each variant reaches over several pretrainings, each compared with the untrained network of its own seed."""

    def of(name: str, seed: int) -> Floats:
        scores = rows[f"{name}, seed {seed}"]
        return np.array([np.mean(scores["auroc"]), np.mean(scores["ap"])])

    trees = np.array([np.mean(rows[TREES]["auroc"]), np.mean(rows[TREES]["ap"])])
    print(
        f"\n{f'mean of {len(seeds)} seeds':34}{'AUROC':>14}{'AP':>14}{'minus LightGBM':>22}{'minus random weights':>22}"
    )
    for name in variants:
        found = np.array([of(name, seed) for seed in seeds])
        mean, sd = found.mean(0), found.std(0)
        apart = [mean - trees]
        if RANDOM in variants and name != RANDOM:
            apart.append(mean - np.mean([of(RANDOM, seed) for seed in seeds], 0))
        said = "".join(f"{f'{a:+.4f} {p:+.4f}':>22}" for a, p in apart)
        print(f"{name:34}{mean[0]:8.4f} ±{sd[0]:.3f}{mean[1]:8.4f} ±{sd[1]:.3f}{said}")
    print("± standard deviation over seeds")


if __name__ == "__main__":
    main()
