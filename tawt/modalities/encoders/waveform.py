"""Waveforms: an electrocardiogram, or any other signal with a value at each step of time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tawt.config.modalities import WaveformConfig
from tawt.modalities.encoders.convolutions import ConvolutionalNet
from tawt.modalities.encoders.modality import OF_WEIGHTS, Modality

KERNEL, STRIDE = 7, 4


class Waveform(Modality):
    """Signals `(samples, leads)`; each lead is centred, and all are scaled alike."""

    prefix = "WAVEFORM//"

    def __init__(self, config: WaveformConfig) -> None:
        super().__init__()
        self.config, self.frozen = config, config.frozen
        self.shape, self.d_embedding = (config.leads, config.length), config.d_embedding
        n_stages = max(1, round(math.log(config.length / 16, STRIDE)))
        self.net = ConvolutionalNet(1, config.leads, config.width, n_stages, 1, config.d_embedding, KERNEL, STRIDE)

    def prepared(self, array: NDArray[Any]) -> Tensor:
        """`(samples, leads)` -> `(leads, length)` float32."""
        leads, length = self.shape
        signal = torch.tensor(np.nan_to_num(array[-length:, :leads].T, posinf=0, neginf=0), dtype=torch.float32)
        signal = signal - signal.mean(1, keepdim=True)
        signal = signal / signal.std(correction=0).clamp_min(1e-6)
        return functional.pad(signal, (length - signal.shape[1], 0, 0, leads - len(signal)))

    def forward(self, inputs: Tensor) -> Tensor:
        """`(m, leads, length)` -> `(m, d_embedding)`."""
        return self.net(inputs)

    def says(self) -> dict[str, Any]:
        """Return the config, but for what is no matter once it is trained."""
        return self.config.model_dump(mode="json", exclude={*OF_WEIGHTS})
