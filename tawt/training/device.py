"""Which device, number format and thread count a run uses, each with its reason."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from tawt.errors import ConfigError, DeviceError
from tawt.machine import usable_cpus

MOST_THREADS = 4
"""Above this, matrices of a few hundred columns no longer get faster."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What each precision computes in."""

# On free CPUs two threads are faster than one. Where other processes want the CPUs too they are slower:
# three to ten times while OpenMP's threads spin as they wait for one another, less where they sleep. So more
# than one is only started where they sleep, which is set before torch is imported.


@dataclass(frozen=True)
class Compute:
    """What a run computes on."""

    device: torch.device
    """cpu or cuda."""
    dtype: torch.dtype
    """float32, or bfloat16 or float16 for autocast; weights and optimizer are float32 either way."""
    threads: int
    """CPU threads of torch."""
    reasons: dict[str, str]
    """Why, for `device`, `precision` and `threads`."""

    @property
    def precision(self) -> str:
        """fp32, bf16 or fp16."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which the model runs forward."""
        half = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype if half else torch.bfloat16, enabled=half)

    def with_threads(self, count: int, reason: str) -> Compute:
        """Set torch's thread count, and say why."""
        torch.set_num_threads(count)
        return replace(self, threads=count, reasons={**self.reasons, "threads": reason})


def choose_compute(device: str = "auto", precision: str = "auto", threads: int = 0) -> Compute:
    """Choose, and set torch's thread count.

    Matrix products of float32 run in TF32 on CUDA, which has 10 bits of mantissa where float32 has 23.

    Args:
        device: auto, cpu, cuda or cuda:N.
        precision: auto, fp32, bf16 or fp16.
        threads: CPU threads; 0 = by rule.

    Raises:
        DeviceError: CUDA was asked for and is not there, or cannot do bf16.
        ConfigError: The device has an unknown name.
    """
    where, why_device = _device(device)
    dtype, why_dtype = _dtype(precision, where)
    count, why_threads = (threads, "asked for") if threads else thread_rule()
    torch.set_num_threads(count)
    if where.type == "cuda":
        if where.index is not None:
            torch.cuda.set_device(where)  # streams, events and capabilities are asked of the current one
        torch.set_float32_matmul_precision("high")
        if dtype == torch.float32:
            why_dtype += "; products in TF32"
    return Compute(where, dtype, count, {"device": why_device, "precision": why_dtype, "threads": why_threads})


def _device(name: str) -> tuple[torch.device, str]:
    there = torch.cuda.is_available()
    if name == "auto":
        if there:
            return torch.device("cuda"), f"auto: {torch.cuda.get_device_name()} is there"
        return torch.device("cpu"), "auto: torch finds no CUDA device"
    if name == "cpu":
        return torch.device("cpu"), "asked for"
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdigit()):
        raise ConfigError("--device", f"`{name}` is not a device, expected auto, cpu, cuda or cuda:N", "--device auto")
    if not there:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPU only"
        raise DeviceError(
            "--device cuda", f"torch {torch.__version__} ({built}) finds no CUDA device, expected one",
            "use `--device cpu`, or install a CUDA build of torch and check `nvidia-smi`",
        )  # fmt: skip
    if index and int(index) >= torch.cuda.device_count():
        raise DeviceError(
            f"--device {name}", f"is not there, expected one of {torch.cuda.device_count()}, counted from 0",
            "use `--device cuda`",
        )  # fmt: skip
    return torch.device(name), "asked for"


def _dtype(precision: str, device: torch.device) -> tuple[torch.dtype, str]:
    can = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not can:
        raise DeviceError(
            "train.precision", f"{torch.cuda.get_device_name(device)} has no bf16, expected one that has",
            "use `--set train.precision=fp16`",
        )  # fmt: skip
    if precision != "auto":
        return DTYPES[precision], "asked for"
    if device.type == "cpu":
        return torch.float32, "auto: bf16 gains little on CPU"
    if can:
        return torch.bfloat16, "auto: the device has bf16, which needs no loss scaler"
    return torch.float16, "auto: the device has no bf16; with a loss scaler"


SHORT_SPIN = 100_000
"""`GOMP_SPINCOUNT` up to which a waiting thread soon sleeps."""
WOULD_SPIN = (
    "a second one would spin while it waits (neither OMP_WAIT_POLICY=PASSIVE nor a small GOMP_SPINCOUNT is set)"
)
"""Why there is one thread where nothing says how threads wait."""


def thread_rule() -> tuple[int, str]:
    """Return a thread count that needs no measurement, and its reason."""
    if not threads_sleep():
        return 1, f"rule: one, since {WOULD_SPIN}"
    count = most_threads()
    return count, f"rule: one per usable CPU ({usable_cpus()}), at most {MOST_THREADS} and OMP_NUM_THREADS"


def most_threads() -> int:
    """Return how many threads may be tried: usable CPUs, and no more than `OMP_NUM_THREADS` where that is set."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(usable_cpus(), MOST_THREADS, int(asked) if asked.isdigit() and int(asked) else MOST_THREADS)


def threads_sleep() -> bool:
    """Return whether OpenMP's threads sleep while they wait for one another, at once or after a short spin."""
    spins = os.environ.get("GOMP_SPINCOUNT", "")
    return os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE" or (spins.isdigit() and int(spins) <= SHORT_SPIN)
