"""What a modality is to the trainer: all that there is to write for a new one.

An event whose code begins with the modality's `prefix` has a content, an array that lies in the store
(`tawt.modalities.contents`). On its way to an embedding with a time it goes through two methods:

    prepared(array)    numpy -> one input, a tensor of the same shape for all; on the CPU, in the loader's thread
    forward(inputs)    `(m, ...)` inputs -> `(m, d_embedding)`; on the device, in the step

Its time it has from its event, and how it joins the record is no concern of its own (`tawt.modalities.fusion`). So a
modality is one class with three attributes and two methods, and a line in `made`; `waveform` is the whole of one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tawt.arrays import Ints, Words
from tawt.config.modalities import ContentConfig

OF_WEIGHTS = frozenset(ContentConfig.model_fields)
"""Keys of a section that say nothing of what is encoded."""


class Modality(nn.Module):
    """A kind of content, and its encoder.

    Nothing in it may draw from torch's own random state: a document without contents must compute what it would
    without a modality, in training too. Nor may an input hang on the others of its batch.
    """

    prefix: ClassVar[str]
    """What the codes of its events begin with."""
    shape: tuple[int, ...]
    """Of an input."""
    d_embedding: int
    """Width of an embedding."""
    frozen: bool = False
    """Whether its weights never change here: what it says of a content is kept (`cache`), and no run holds it."""

    def prepared(self, array: NDArray[Any]) -> Tensor:
        """Return a content as the encoder reads it; it depends on nothing else, weights neither."""
        raise NotImplementedError

    def augmented(self, inputs: Tensor, words: Words) -> Tensor:
        """Return inputs `(m, ...)` a little changed, for training; `words`, `(m,)`, are all that chance may hang on."""
        return inputs

    def forward(self, inputs: Tensor) -> Tensor:
        """`(m, ...)` -> `(m, d_embedding)`."""
        raise NotImplementedError

    def says(self) -> dict[str, Any]:
        """Return what else decides an embedding beside the content and the weights: JSON-like."""
        raise NotImplementedError

    def identity(self) -> str:
        """Return the SHA-256 of all that decides an embedding beside the content."""
        told = {"class": type(self).__name__, "version": VERSION, "says": self.says()}
        whole = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            whole.update(json.dumps([name, str(tensor.dtype), [*tensor.shape]]).encode())
            whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return whole.hexdigest()


VERSION = 1
"""Goes up with every change to how a content becomes an input or an embedding: what was cached before is made anew."""


def modality_of(codes: Sequence[str], modalities: Sequence[Modality]) -> Ints:
    """Return which modality the events of each code have contents of, `(n,)`; -1 = none of these."""
    found = [next((k for k, one in enumerate(modalities) if code.startswith(one.prefix)), -1) for code in codes]
    return np.array(found, dtype=np.int64)
