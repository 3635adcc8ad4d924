"""Compile the kernels of our own for a compute capability, without a device, and print as JSON what each uses.

Heads of 64 in bf16, half of each turned, slopes learned: `python tests/numerics/compiled.py 86`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tawt.models.attention import fused, fused_kernels

D_HEAD = 64
HALVES = {"q", "k", "v", "qkv", "turned", "out", "d_out", "d_qkv"}
"""Arguments in bf16."""
WHOLE = {"first": "*i32", "past": "*i32", "order": "*i32", "times": "*i64"}
STRIDES = {"qk_t", "qk_h", "v_t", "v_h", "in_t", "in_of", "in_h"}
"""Multiples of 16."""


def compiled(name: str, tiling: fused.Tiling, capability: int) -> dict[str, Any]:
    """Return what a kernel uses."""
    kernel = getattr(fused_kernels, name)
    constant = {
        "D": D_HEAD, "WIDE": D_HEAD, "SIDE": tiling.side, "STEP": tiling.step, "HALF": D_HEAD // 4, "DECAY": True,
        "LINEAR": False, "RECENCY": False, "CAUSAL": False, "LEARNED": True, "PRECISION": "tf32",
        "fading": None, "recency": None,
    }  # fmt: skip
    types, given, aligned = {}, {}, {}
    for i, argument in enumerate(kernel.arg_names):
        if argument in constant:
            types[argument], given[(i,)] = "constexpr", constant[argument]
            continue
        types[argument] = "*bf16" if argument in HALVES else WHOLE.get(argument, "*fp32")
        if argument in STRIDES or argument == "n":
            types[argument] = "i32"
        if argument == "scale":
            types[argument] = "fp32"
        if argument == "by_row" and name == "to_keys":
            types[argument] = "*i64"
        if argument not in ("n", "scale"):
            aligned[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=types, constexprs=given, attrs=aligned)
    options = {"num_warps": tiling.warps, "num_stages": tiling.stages, "maxnreg": tiling.registers}
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        said = subprocess.run(
            [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", said.stdout + said.stderr).groups()
    return {
        "registers": int(registers),
        "stack_bytes": int(stack),
        "shared_bytes": made.metadata.shared,
        "atomics": len(re.findall(r"\b(atom|red)\.", made.asm["ptx"])),
    }


if __name__ == "__main__":
    tilings = fused.tilings(torch.bfloat16, D_HEAD, int(sys.argv[1])) | {"turn": fused.Tiling(fused.TURNED, 0, 4, 3)}
    print(json.dumps({name: compiled(name, tiling, int(sys.argv[1])) for name, tiling in tilings.items()}))
