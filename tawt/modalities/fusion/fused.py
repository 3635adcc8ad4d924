"""The module that a run has for what lies beside its records: encoders, and one way in which contents join."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tawt.config.modalities import FusionConfig
from tawt.modalities.encoders.modality import Modality
from tawt.modalities.fusion.beside import Beside
from tawt.modalities.fusion.pairs import Pairs
from tawt.modalities.fusion.ways import WAYS, Way
from tawt.models.beside import BesideRecords
from tawt.models.embeddings import Added


class Fused(BesideRecords):
    """Contents beside a batch -> what joins the record, at the one place where `config.how` says.

    It draws nothing from torch's random state, and takes any number of contents, none too: each parameter has a
    gradient in every step.

    Args:
        config: How.
        modalities: In the order of the batches' `Beside`. Of a frozen one nothing is kept here: its embeddings come in.
        d_model: Width of a triplet's value in the encoder, where `token` adds.
        d_embedding: Width of a document's embedding, where `concat`, `attention` and `gate` join, and whose place
            `alone` takes.
        n_outputs: Outputs of the task's head, to which `late` adds.
        joins: Whether contents join the record at all; where not, they are only encoded.
    """

    def __init__(
        self,
        config: FusionConfig,
        modalities: Sequence[Modality],
        d_model: int,
        d_embedding: int,
        n_outputs: int = 0,
        *,
        joins: bool = True,
    ) -> None:
        super().__init__()
        self.joins = joins
        self.how, self.dropout = config.how, config.dropout
        self._looked_at = (tuple(modalities),)  # within a tuple: of frozen ones no weights are the run's own
        self.d_content = config.d_content
        self.modalities = nn.ModuleList(nn.Identity() if one.frozen else one for one in modalities)
        self.norms = nn.ModuleList(nn.LayerNorm(one.d_embedding) for one in modalities)
        self.sides = nn.ModuleList(nn.Linear(one.d_embedding, config.d_content) for one in modalities)
        self.to_value: nn.Linear | None = None
        self.way: Way | None = None
        if not joins:
            return
        if config.how == "token":
            self.to_value = nn.Linear(config.d_content, d_model)
            for parameter in self.to_value.parameters():
                nn.init.zeros_(parameter)
        else:
            width = n_outputs if config.how == "late" else d_embedding
            assert width, "late adds to the outputs of a task"
            self.way = WAYS[config.how](config, width, len(modalities))

    @property
    def looked_at(self) -> tuple[Modality, ...]:
        """The modalities."""
        return self._looked_at[0]

    def contents(self, found: Beside | Pairs) -> Tensor:
        """Encode what lies beside a batch: `(m, d_content)` float32, one row for each content."""
        out = torch.zeros(len(found.document), self.d_content, device=found.document.device)
        for modality, norm, side, inputs in zip(self.modalities, self.norms, self.sides, found.inputs, strict=True):
            encoded = inputs.data if inputs.is_encoded else modality(inputs.data)
            with torch.autocast(out.device.type, enabled=False):
                out = out.index_copy(0, inputs.at, side(norm(encoded.float())))
        return out

    def added(self, found: Beside) -> Added | None:
        """Return the values of triplets; None where contents join elsewhere."""
        if self.to_value is None:
            return None
        return Added(found.triplet, self.to_value(self.contents(found)).index_select(0, found.seen))

    def embedding(self, embedding: Tensor, found: Beside) -> Tensor:
        """Return embeddings of documents `(d, d_embedding)` with contents in them, if that is where they join."""
        return embedding if self.way is None or self.how == "late" else self._joined(embedding, found)

    def outputs(self, outputs: Tensor, found: Beside) -> Tensor:
        """Return a head's outputs `(d, n_outputs)` with those of contents added, if that is where they join."""
        return self._joined(outputs, found) if self.way is not None and self.how == "late" else outputs

    def _joined(self, rows: Tensor, found: Beside) -> Tensor:
        assert self.way is not None
        with torch.autocast(rows.device.type, enabled=False):
            return self.way(rows.float(), self.contents(found), found)
