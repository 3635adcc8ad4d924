"""Does the encoder understand time? Tasks whose label depends on the times of events alone.

    OMP_NUM_THREADS=1 python tests/benchmarks/time_tasks [--seeds 0 1 2] [--tasks interval rate ...] [--variants none rotary ...]

Each record has a twin with the other label: the same events, values, order, count and span, other gaps, or another time of day (`rules.py`). The same
small encoder is trained on every task with each way to know time, on fresh records in every step, and measured on unseen
ones: AUROC, the mean over seeds, and the lowest where there are several. Time encodings (`delta` to `calendar`) are alone in the
embedding, attention terms (`rotary` to `cosine`) alone in attention; `all` has every one.

What a way to know time cannot tell in principle: `decay`, `bucket` and `cosine` see |dt|, not its sign, so a rule that turns round when
a record is read backwards needs an event that marks one end (START here); `delta` sees the gap before each event, not the
order of the gaps.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from learn import learn
from rules import RULES

from tawt.config.model import ModelConfig

SHAPE: dict[str, Any] = {
    "d_model": 64, "n_layers": 2, "n_heads": 4, "d_ffn": 128, "dropout": 0.0, "value": "continuous", "pooling": "mean",
}  # fmt: skip
HOURS = {"shortest_hours": 4.0, "longest_hours": 200.0}
"""Records span one to three days. Their gaps are hours long, and a wave shorter than a gap tells nothing of its length."""
TERMS: dict[str, Any] = {
    "time2vec": {"n_frequencies": 16, **HOURS}, "sinusoidal": {"n_frequencies": 16, **HOURS},
    "rotary": {"fraction": 1.0, **HOURS}, "decay": {"tau_hours": 2.0, "steepest": 4.0, "learned": True},
    "bucket": {"n_buckets": 24, "shortest_hours": 0.25, "longest_hours": 100.0}, "cosine": HOURS,
}  # fmt: skip
VARIANTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()),
    "delta": (("delta",), ()),
    "time2vec": (("time2vec",), ()),
    "sinusoidal": (("sinusoidal",), ()),
    "calendar": (("calendar",), ()),
    "rotary": ((), ("rotary",)),
    "decay": ((), ("decay",)),
    "bucket": ((), ("bucket",)),
    "cosine": ((), ("cosine",)),
    "all": (("delta", "time2vec", "sinusoidal", "calendar"), ("rotary", "decay", "bucket", "cosine")),
}
"""`time` and `attention` of the model."""


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the records and the weights")
    options.add_argument("--tasks", nargs="+", choices=list(RULES), default=list(RULES))
    options.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    options.add_argument("--steps", type=int, default=400)
    options.add_argument("--documents", type=int, default=48, help="records per step")
    options.add_argument("--test", type=int, default=2000, help="unseen records")
    options.add_argument("--lr", type=float, default=1.5e-3)
    given = options.parse_args()
    torch.set_num_threads(1)
    for task in given.tasks:
        print(f"{task:12}{RULES[task].says}")
    print("\n" + f"{'':12}" + "".join(f"{task:>16}" for task in given.tasks) + f"{'seconds':>10}")
    for variant in given.variants:
        encodings, attention = VARIANTS[variant]
        config = ModelConfig(**SHAPE, **TERMS, time=encodings, attention=attention)
        began = time.perf_counter()
        cells = []
        for task in given.tasks:
            found = [
                learn(
                    RULES[task], config, seed, n_steps=given.steps, n_documents=given.documents, lr=given.lr,
                    n_test=given.test,
                )
                for seed in given.seeds
            ]  # fmt: skip
            lowest = f" ({min(found):.3f})" if len(found) > 1 else ""
            cells.append(f"{sum(found) / len(found):.3f}{lowest}")
        print(
            f"{variant:12}" + "".join(f"{cell:>16}" for cell in cells) + f"{time.perf_counter() - began:10.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
