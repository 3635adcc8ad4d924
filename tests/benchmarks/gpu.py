"""Is it right on a GPU, and how fast: every kernel, the whole model, the presets. Needs only what the trainer needs.

    python tests/benchmarks/gpu.py [--only kernels,models,speed,presets] [--device cuda] [--quick] [--out FILE.json]

Each part can be run by itself, prints as it goes and goes on after a variant that fails (exit 1 at the end). `--quick`
takes toy sizes and one number format; with `--device cpu` it runs what a CPU can, so that only CUDA itself is untried.

    kernels   each kernel, set of terms and number format against the definition in float64; the block mask; tolerances
              are those of tests/gpu/parity.py, a few eps of the format
    models    whole pretraining models, losses and gradient, against the same in float32 on the host, compiled as
              in training; graphs that later batches add (should be 0)
    speed     one layer's attention, forward + backward, on one packed batch (lognormal lengths, median 200, sigma 1)
    presets   the real training step: tokens/s, MFU, memory, seconds of compiling (some steps, made three times: the first
              pass compiles, the second captures, the third is timed: the median step), share of a step that making its batches takes, and
              that it waits for them; on CUDA how long the device is idle, launches and kernels of a batch (`gpu_trace.py`)

Floors, printed before the figures. Attention, t tokens in documents of length L, width d, `b` bytes a number, without
terms: two products forward, five backward (one again), each 2 d L^2 operations, so `14 d sum L^2 / rate`; and q, k, v,
out read or written once forward, those and their gradients once backward, so `12 t d b / bandwidth`. The larger of the
two is the floor; a kernel with blocks of 128 also visits what shares a block, 1.3 to 1.5 times sum L^2.

MFU = operations of the model / (seconds * rate). Operations per token: `6 N + 12 n_layers d_model l`, N = parameters
beside the embedding tables, l = mean length that a token attends to (sum L^2 / t); recomputation is not counted. As in
Chowdhery et al., PaLM, 2022. Rate: dense bf16/fp16 with float32 sums, by the device's name or `--peak` (TFLOP/s).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.nn.functional import pad, scaled_dot_product_attention

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "numerics"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "gpu"))
import gpu_trace
import packs
import parity
import shards

from tawt.batching.batch import to_device
from tawt.batching.fill import ADDED
from tawt.config.named import resolve_config
from tawt.dataset.reader import open_dataset
from tawt.models.attention import Terms, block_mask, flex, geometry, rotate
from tawt.models.attention.blocks import BLOCK, whole_steps
from tawt.objectives.pretrain_model import count_parameters
from tawt.runs.training import make_trainer, ready
from tawt.training.distributed import World
from tawt.training.plan import looked_at
from tawt.training.repeatable import repeatable
from tawt.training.setup import set_up

RATES = {
    "H100": (989.0, 3350.0), "H200": (989.0, 4800.0), "A100": (312.0, 2039.0), "3090 Ti": (80.0, 1008.0),
}  # fmt: skip
"""Part of a device's name -> TFLOP/s in bf16 and GB/s of memory, as its maker states them."""
PARTS = ("kernels", "models", "speed", "presets")
PRESETS = ("pretrain_base", "pretrain_3090ti", "pretrain_small")
OPTIONS = flex.FORWARD
ON_CPU = {
    "model.n_layers": 1, "batching.tokens_per_batch": 512, "batching.max_length": 256, "train.accumulate_tokens": 0,
}  # fmt: skip


class Bench:
    """Prints results, keeps them, and survives what fails."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.quick: bool = options.quick
        self.failed = 0
        self.results: dict[str, Any] = {"torch": torch.__version__, "device": self.name, "parts": {}}
        rate, bandwidth = next((v for part, v in RATES.items() if part in self.name), (0.0, 0.0))
        self.rate = (options.peak or rate) * 1e12
        self.bandwidth = (options.bandwidth or bandwidth) * 1e9
        self.ceiling = self._ceiling()

    @property
    def formats(self) -> dict[str, torch.dtype]:
        """The number formats that are compared, by name."""
        formats = list(parity.precisions(self.device).items())
        return dict(formats[-1:] if self.quick else formats)

    @property
    def name(self) -> str:
        """The device's name."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"

    @contextmanager
    def attempt(self, part: str, what: str) -> Iterator[dict[str, Any]]:
        """Collect a result; print and keep it, or the error in its place."""
        got: dict[str, Any] = {"what": what}
        parity.forget_graphs()
        try:
            yield got
        except Exception as error:  # another variant may still run
            self.failed += 1
            got["error"] = parity.refusal(error)
        if got.get("right") is False:
            self.failed += 1
        told = ", ".join(f"{key} {_short(value)}" for key, value in got.items() if key != "what")
        print(f"  {what:44} {told}", flush=True)
        self.results["parts"].setdefault(part, []).append(got)
        if self.options.out:
            self.options.out.write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")

    def seconds(self, work: Callable[[], object], rounds: int) -> float:
        """Return the median seconds of one call."""
        taken = []
        for _ in range(rounds):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    def wait(self) -> None:
        """Wait until the device has nothing to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_gb(self) -> float | None:
        """Return the most memory held on the device since `forget_peak`, GB."""
        return torch.cuda.max_memory_allocated(self.device) / 1e9 if self.device.type == "cuda" else None

    def held_gb(self) -> float | None:
        """Return what is taken of the device's memory, by whatever, GB."""
        if self.device.type != "cuda":
            return None
        free, whole = torch.cuda.mem_get_info(self.device)
        return (whole - free) / 1e9

    def mark(self) -> Any:
        """Return a point in time of the device; None on CPU."""
        if self.device.type != "cuda":
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def forget_peak(self) -> None:
        """Start to look for the peak of memory anew."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def _ceiling(self) -> float:
        """Return the operations a second of a large product in bf16, which is what this very card reaches."""
        if self.device.type != "cuda":
            return 0.0
        one, other = torch.randn(2, 8192, 8192, device=self.device, dtype=torch.bfloat16).unbind()
        return 2.0 * 8192**3 / self.seconds(lambda: one @ other, 10)

    def mfu(self, operations: float, seconds: float) -> float | None:
        """Return the share of the device's rate; None where that is unknown."""
        return operations / seconds / self.rate if self.rate else None


def kernels(bench: Bench) -> None:
    """Every kernel against the definition."""
    lengths = (1, 2, 37, 60) if bench.quick else (1, 2, 37, 300, 160, 900)
    with bench.attempt("kernels", "block mask") as got:
        got["right"] = parity.same_blocks(bench.device, lengths)
    for name in parity.KERNELS:
        for terms, kind in parity.TERMS.items():
            for precision, dtype in bench.formats.items():
                for d_head in (32,) if bench.quick else (32, 64):
                    if not parity.runs_on(name, kind, dtype, bench.device):
                        continue
                    with bench.attempt("kernels", f"{name}, {terms}, {precision}, d_head {d_head}") as got:
                        one = parity.kernel_parity(name, kind, dtype, bench.device, lengths=lengths, d_head=d_head)
                        got |= {**vars(one), "right": one.holds}


def models(bench: Bench) -> None:
    """Whole models against the definition."""
    compiled = bench.device.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        shards.write_dataset(workspace, {"train": [40], "tuning": [10]}, max_static=2)
        for name in parity.MODELS:
            for precision, dtype in bench.formats.items():
                with bench.attempt("models", f"{name}, {precision}") as got:
                    one, got["kernel"] = parity.model_parity(workspace, name, dtype, bench.device, compiled=compiled)
                    got |= {**vars(one), "right": one.holds}
            if compiled:
                with bench.attempt("models", f"{name}, graphs of later batches") as got:
                    dtype = list(bench.formats.values())[-1]
                    got["added"] = parity.recompiles(workspace, name, bench.device, dtype)
                    got["right"] = got["added"] == 0


def speed(bench: Bench) -> None:
    """One layer's attention, forward and backward."""
    sizes = [(256, 2, 32)] if bench.quick else [(16384, 8, 64), (32768, 12, 64)]
    dtype = torch.float32 if bench.device.type == "cpu" else list(parity.precisions(bench.device).values())[1]
    for budget, n_heads, d_head in sizes:
        lengths = _lengths(budget, 40 if bench.quick else 200, 64 if bench.quick else 4096)
        area, t, width = sum(n * n for n in lengths), sum(lengths), n_heads * d_head
        operations = 14.0 * width * area
        moved = 12.0 * t * width * dtype.itemsize
        print(
            f"  {t} tokens, {len(lengths)} documents, {n_heads} heads of {d_head}, {dtype}: "
            f"{operations / 1e12:.3g} TFLOP, {moved / 1e9:.3g} GB"
        )
        if bench.rate:
            floor = [operations / bench.rate, moved / bench.bandwidth if bench.bandwidth else math.nan]
            print(f"  floor: {floor[0] * 1e3:.3g} ms of products, {floor[1] * 1e3:.3g} ms of memory")
        for name, work in _variants(bench, tuple(lengths), n_heads, d_head, dtype).items():
            with bench.attempt("speed", f"{name}, {t} tokens") as got:
                run = None  # what the variant before holds must not count
                bench.forget_peak()
                run = work()
                began = time.perf_counter()
                run()
                bench.wait()
                got["first_s"] = time.perf_counter() - began
                seconds = bench.seconds(run, 2 if bench.quick else 20)
                got |= {
                    "ms": seconds * 1e3,
                    "tokens_per_s": t / seconds,
                    "share_of_rate": bench.mfu(operations, seconds),
                }
                got["peak_gb"] = bench.peak_gb()


def _variants(
    bench: Bench, lengths: tuple[int, ...], n_heads: int, d_head: int, dtype: torch.dtype
) -> dict[str, Callable[[], Callable[[], None]]]:
    """What is timed: name -> makes a function that goes forward and backward once."""
    n, device = sum(lengths), bench.device
    static = whole_steps(n, BLOCK)
    generator = torch.Generator().manual_seed(0)
    layout = packs.a_layout(lengths)

    def tensors(length: int) -> list[Tensor]:
        made = torch.randn(4, n_heads, length, d_head, generator=generator).to(device, dtype)
        return [made[0].requires_grad_(), made[1].requires_grad_(), made[2].requires_grad_(), made[3]]

    def ours(
        kernel: str, kind: tuple[str, ...], learned: bool = False, forward: dict[str, Any] | None = None
    ) -> Callable[[], Callable[[], None]]:
        def make() -> Callable[[], None]:
            flex.FORWARD = OPTIONS if forward is None else forward
            config = packs.a_config(kind, n_heads, d_head)
            fixed = None if kernel == "packed" else static
            laid = replace(layout, blocks=block_mask(layout.bounds, static)) if kernel == "flex" else layout
            where = geometry(
                config, to_device(laid, device), kernel=kernel, static_length=fixed, max_seqlen=max(lengths)
            )
            own = {k: x.to(device) for k, x in vars(packs.strengths(config)).items() if x is not None}
            for key, x in own.items():
                x.requires_grad_(learned or key != "slopes")
            q, k, v, grad = tensors(fixed or n)

            def work() -> None:
                turned = (q, k) if kernel == "fused" else (rotate(q, where), rotate(k, where))
                out = parity.KERNELS[kernel](*turned, v, Terms(**own), where)
                out.backward(grad)
                q.grad = k.grad = v.grad = None

            return work

        return make

    def padded(bias: bool) -> Callable[[], Callable[[], None]]:
        def make() -> Callable[[], None]:
            longest = max(lengths)
            q, k, v, grad = (
                torch.stack([pad(x, (0, 0, 0, longest - x.shape[1])) for x in whole.detach().split(lengths, 1)])
                for whole in tensors(n)
            )
            for x in (q, k, v):
                x.requires_grad_()
            slopes = torch.full((n_heads, 1, 1), 0.1, device=device, requires_grad=True)
            hours = torch.stack([pad(h, (0, longest - len(h))) for h in layout.hours.split(lengths)]).to(device)
            gap = (hours[:, None, :, None] - hours[:, None, None, :]).abs().float().log1p() if bias else None

            def work() -> None:
                added = (-slopes * gap).to(dtype) if gap is not None else None
                scaled_dot_product_attention(q, k, v, attn_mask=added).backward(grad)
                q.grad = k.grad = v.grad = None

            return work

        return make

    made = {"SDPA without bias, padded": padded(False), "dense bias, padded": padded(True)}
    made["packed, decay fixed"] = ours("packed", ("rotary", "decay"))
    made["packed, decay learned"] = ours("packed", ("rotary", "decay"), True)
    if device.type == "cuda":
        made["fused without terms"] = ours("fused", ())
        made["fused, rotary"] = ours("fused", ("rotary",))
        made["fused, decay fixed"] = ours("fused", ("rotary", "decay"))
        made["fused, decay learned"] = ours("fused", ("rotary", "decay"), True)
        made["varlen"] = ours("varlen", ())
        made["varlen + rotary"] = ours("varlen", ("rotary",))
        made["varlen + channels"] = ours("varlen", ("rotary", "cosine", "recency"))
        made["flex without terms"] = ours("flex", ())
        made["flex, decay fixed"] = ours("flex", ("rotary", "decay"))
        made["flex, decay fixed, torch's own tiles"] = ours("flex", ("rotary", "decay"), forward={})
        small = {"fwd_BLOCK_M": 64, "fwd_BLOCK_N": 64}
        made["flex, decay fixed, tiles of 64"] = ours("flex", ("rotary", "decay"), forward=small)
        made["flex, decay learned"] = ours("flex", ("rotary", "decay"), True)
        made["flex, bucket"] = ours("flex", ("bucket",), True)
    return made


def _lengths(budget: int, median: int, longest: int) -> list[int]:
    """Lognormal lengths that fill a batch."""
    rng = np.random.default_rng(0)
    lengths: list[int] = []
    while sum(lengths) < budget:
        n = int(np.clip(rng.lognormal(np.log(median), 1.0), 8, longest))
        lengths.append(min(n, budget - sum(lengths)))
    return lengths


def presets(bench: Bench) -> None:
    """The training step of each preset, as `tawt pretrain` sets it up."""
    small = bench.quick or bench.device.type == "cpu"
    for name in PRESETS[-1:] if small else bench.options.presets.split(","):
        with bench.attempt("presets", name) as got, tempfile.TemporaryDirectory() as folder:
            settings = [f"{key}={value}" for key, value in ON_CPU.items()] if small else []
            _, tree = resolve_config(name, [*settings, "train.threads=1", *bench.options.set])
            tokens = tree.batching.tokens_per_batch
            n_subjects = 30 if small else 4 + 20 * max(tokens, tree.train.accumulate_tokens) // 300
            median = 40 if small else 200
            shards.write_dataset(
                Path(folder), {"train": [n_subjects], "tuning": [60]}, median_length=median, n_types=300
            )
            _step_of(bench, Path(folder), tree, got, 2 if small else 12)


def _step_of(bench: Bench, workspace: Path, tree: Any, got: dict[str, Any], rounds: int) -> None:
    """Measure the real step of a config on a workspace."""
    dataset, device = open_dataset(workspace), str(bench.device)
    bench.forget_peak()
    run = workspace / "runs" / "speed"
    setup = ready(set_up(workspace, run, tree, dataset, device, World()))
    trainer = make_trainer(setup)
    k, stepper = setup.batches_per_step, trainer.stepper

    def make() -> list[Any]:
        return [trainer._make(setup.train.batch(number), number) for number in range(k)]

    first = make()
    making = bench.seconds(make, 3)
    seconds, waited, marks, tokens, area = [], [], [], 0, 0
    graphs = []
    # the same steps three times: what is compiled is compiled in the first pass, graphs are captured in the second
    for told in (None, False, True):
        batches = setup.train.stream(0, 1, make=trainer._make)
        with closing(batches), repeatable(bench.device):
            start = time.perf_counter()
            for _ in range(rounds):
                began = time.perf_counter()
                examples = list(islice(batches, k))
                had = time.perf_counter()
                counted = stepper.count(examples, False)
                stepper.step(1e-5, examples, counted)
                if told:
                    marks.append(bench.mark())
                    waited.append(had - began)
                    tokens += counted.tokens
                    area += sum((b - a) ** 2 for e in examples for a, b in real_spans(e))
                elif told is None:
                    bench.wait()
                    seconds.append(time.perf_counter() - began)
            bench.wait()
            whole = time.perf_counter() - start
        graphs.append(counters["stats"]["unique_graphs"])
    model, parameters = tree.model, count_parameters(setup.model)
    n = parameters.encoder + parameters.heads
    foretold = looked_at(setup).memory_bytes
    operations = 6.0 * n * tokens + 12.0 * model.n_layers * model.d_model * area
    each = [a.elapsed_time(b) for a, b in pairwise(marks)] if marks[0] is not None else []
    median = statistics.median(each) / 1e3 if each else whole / rounds
    got |= {
        "kernel": setup.kernel[0], "precision": setup.compute.precision, "compiled": setup.compiled[0],
        "parameters": parameters.total, "tokens_per_step": tokens // rounds, "ms_per_step": whole / rounds * 1e3,
        "ms_median": median * 1e3, "ms_longest": max(each, default=0.0),
        "tokens_per_s": tokens / rounds / median, "mfu": bench.mfu(operations / rounds, median),
        "mfu_of_ceiling": operations / rounds / median / bench.ceiling if bench.ceiling else None, "peak_gb": bench.peak_gb(), "held_gb": bench.held_gb(),
        "foretold_gb": foretold / 1e9, "graphs": graphs[0], "graphs_later": graphs[-1] - graphs[0],
        "first_step_s": seconds[0], "compiling_s": sum(seconds) - whole,
        "making_batches_of_step": making * rounds / whole, "waiting_of_step": sum(waited) / whole,
        "packed_to": sum(e.n_tokens for e in first) / (k * tree.batching.tokens_per_batch),
    }  # fmt: skip
    if bench.device.type == "cuda":
        looked = _traced(bench, setup, trainer, k)
        got |= {key: value for key, value in looked.items() if key != "kernels"}
        bench.results.setdefault("kernels", {})[f"{got['what']} {setup.compute.precision}"] = looked["kernels"]
        if bench.options.trace:
            print(gpu_trace.table(looked["kernels"]))


def real_spans(example: Any) -> list[tuple[int, int]]:
    """Return where the documents of an example lie, without those that fill it up."""
    alone = example.batch.subject_id.tolist()
    spans = pairwise(example.batch.layout.bounds)
    return [span for span, subject in zip(spans, alone, strict=True) if subject != ADDED]


def _traced(bench: Bench, setup: Any, trainer: Any, k: int) -> dict[str, Any]:
    """Look at some steps more; counts are of one batch, forward and backward, and its share of the update."""
    rounds = 2
    with closing(setup.train.stream(0, 1, make=trainer._make)) as batches:
        examples = list(islice(batches, k * (rounds + 1)))

        def work(of: range) -> None:
            for i in of:
                own = examples[i * k : (i + 1) * k]
                counted = trainer.stepper.count(own, False)
                trainer.stepper.step(1e-5, own, counted)

        work(range(rounds, rounds + 1))
        return gpu_trace.look(lambda: work(range(rounds)), bench.device, rounds * k)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.0f}"
    return "-" if value is None else str(value)


def main(words: list[str] | None = None) -> int:
    """Run the parts; return 1 where something failed or was not right."""
    options = argparse.ArgumentParser(description="Correctness and speed on a GPU.")
    options.add_argument("--only", default=",".join(PARTS), help="parts, with commas between: " + ", ".join(PARTS))
    options.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    options.add_argument("--presets", default=",".join(PRESETS), help="presets, with commas between")
    options.add_argument("--set", action="append", default=[], help="key=value of the presets' configs")
    options.add_argument("--trace", action="store_true", help="presets: print their kernels by the time they take")
    options.add_argument("--quick", action="store_true", help="toy sizes, one number format, small preset only")
    options.add_argument(
        "--peak", type=float, default=0.0, help="TFLOP/s of the device in bf16, instead of the table's"
    )
    options.add_argument("--bandwidth", type=float, default=0.0, help="GB/s of its memory, instead of the table's")
    options.add_argument("--out", type=Path, help="write results here as JSON, after each")
    chosen = options.parse_args(words)
    parts = chosen.only.split(",")
    if unknown := set(parts) - set(PARTS):
        options.error(f"no such part: {', '.join(sorted(unknown))}; expected {', '.join(PARTS)}")
    if chosen.device != "cpu" and not torch.cuda.is_available():
        options.error(f"torch {torch.__version__} finds no CUDA device; use `--device cpu --quick`")
    bench = Bench(chosen)
    rate = f"{bench.rate / 1e12:.0f} TFLOP/s" if bench.rate else "rate unknown: no MFU (see --peak)"
    reached = f", {bench.ceiling / 1e12:.0f} reached by a large product" if bench.ceiling else ""
    print(f"{bench.name}, torch {torch.__version__}, {rate}{reached}, {bench.bandwidth / 1e9:.0f} GB/s", flush=True)
    for part in parts:
        print(f"{part}:", flush=True)
        began = time.perf_counter()
        {"kernels": kernels, "models": models, "speed": speed, "presets": presets}[part](bench)
        print(f"  {part} took {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{bench.failed} failed or not right" if bench.failed else "all right")
    return int(bench.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
