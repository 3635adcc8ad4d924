"""Which kernel runs, and why."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch

from tawt.config.model import ModelConfig
from tawt.errors import ConfigError, DeviceError
from tawt.models.attention.channels import n_channels

FUSED_TERMS = frozenset(("rotary", "decay", "recency"))
"""Terms of the kernel of our own."""
FUSED_WIDTHS = range(16, 129)
"""Its heads."""
FLASH_TERMS = frozenset(("rotary", "cosine", "recency"))
"""Terms that are channels or rotations, which a plain flash kernel can run."""
FLASH_WIDTH = 256
"""Widest head of a flash kernel."""
FLEX_WIDTH = 16
"""Narrowest head of FlexAttention on CUDA."""
FLEX_WIDEST_FP32 = 128
"""Widest head of FlexAttention in fp32: beyond, its kernel wants more shared memory than an H100 has."""
_MEND = "set model.kernel to auto"


def width_of(config: ModelConfig) -> int:
    """Return the width of a head's queries with the channels of cosine and recency, in half precision."""
    n_frequencies = config.cosine.n_frequencies if "cosine" in config.attention else 0
    return config.d_head + n_channels(n_frequencies, "recency" in config.attention, torch.bfloat16)


def choose_kernel(
    config: ModelConfig, device: torch.device, dtype: torch.dtype, training: bool = True
) -> tuple[str, str]:
    """Choose the attention kernel.

    Args:
        config: The encoder's shape.
        device: Where it runs.
        dtype: What attention computes in: under autocast, its dtype.
        training: Whether a gradient and dropout are wanted.

    Returns:
        `reference`, `packed`, `fused`, `flex` or `varlen`, and the reason, for the user.

    Raises:
        ConfigError: `config.kernel` cannot run these terms, widths, dropout or dtype.
        DeviceError: It cannot train on this device.
    """
    asked = config.kernel
    if asked == "reference":
        return asked, "asked for: the plain definition, slow"
    if asked == "packed":
        return asked, "asked for"
    if asked == "auto":
        if device.type != "cuda":
            return "packed", f"the tile kernel is the one that trains on {device.type}"
        bars: list[str] = []
        for name, bar_to in _BARS.items():
            if not (bar := bar_to(config, dtype, training)):
                return name, "; ".join(bars) or "our own kernel has every term"
            bars.append(f"{name} cannot: {bar}")
        return "packed", "; ".join(bars)
    if device.type != "cuda":
        if not training:
            return "packed", f"{asked} runs on CUDA; on {device.type} packed gives the same numbers"
        raise DeviceError(
            "model.kernel", f"{asked} trains on CUDA only, expected a CUDA device, not {device.type}", _MEND
        )
    if bar := _BARS[asked](config, dtype, training):
        raise ConfigError("model.kernel", f"{asked} cannot run: {bar}", _MEND)
    return asked, "asked for"


def _bar_to_fused(config: ModelConfig, dtype: torch.dtype, training: bool) -> str:
    """What keeps the kernel of our own from running, or nothing."""
    if other := [term for term in config.attention if term not in FUSED_TERMS]:
        return f"{' and '.join(other)} in model.attention is not part of it"
    if training and config.attention_dropout:
        return "model.attention_dropout is above 0, which it does not have"
    if config.d_head not in FUSED_WIDTHS:
        return f"heads are {config.d_head} wide, expected {FUSED_WIDTHS[0]} to {FUSED_WIDTHS[-1]}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed, which comes with torch for CUDA"
    if not _can_build():
        return "Triton finds no C compiler (CC, gcc or clang) or no Python.h, with which it builds its launchers"
    return _too_old()


def _can_build() -> bool:
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return headers.is_file() and any(shutil.which(compiler) for compiler in compilers)


def _bar_to_flex(config: ModelConfig, dtype: torch.dtype, training: bool) -> str:
    """What keeps FlexAttention from running, or nothing."""
    if training and config.attention_dropout:
        return "model.attention_dropout is above 0, which FlexAttention does not have"
    if config.d_head < FLEX_WIDTH:
        return f"heads are {config.d_head} wide, expected at least {FLEX_WIDTH}"
    if dtype == torch.float32 and width_of(config) > FLEX_WIDEST_FP32:
        return f"heads with their channels are {width_of(config)} wide, expected at most {FLEX_WIDEST_FP32} in fp32"
    return ""


def _bar_to_varlen(config: ModelConfig, dtype: torch.dtype, training: bool) -> str:
    """What keeps `varlen_attn` from running, or nothing."""
    if biased := [term for term in config.attention if term not in FLASH_TERMS]:
        return f"{' and '.join(biased)} in model.attention adds a bias, which a flash kernel does not take"
    if training and config.attention_dropout:
        return "model.attention_dropout is above 0, which varlen_attn does not have"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"precision is {str(dtype).removeprefix('torch.')}, expected bf16 or fp16"
    if width_of(config) > FLASH_WIDTH:
        return f"heads with their channels are {width_of(config)} wide, expected at most {FLASH_WIDTH}"
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return f"torch {torch.__version__} has no varlen_attn, expected 2.10 or newer"
    return _too_old()


def _too_old() -> str:
    """What keeps kernels for Ampere from running, or nothing."""
    if torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0):
        return "the device is older than Ampere, expected compute capability 8.0 or newer"
    return ""


_BARS = {"fused": _bar_to_fused, "varlen": _bar_to_varlen, "flex": _bar_to_flex}
"""The kernels of CUDA, the fastest first."""
