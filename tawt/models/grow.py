"""Weights of a model for a longer vocabulary: every old row stays, bit for bit, and each new one begins from old ones.

A category that is new to an old data_type begins as the OTHER that it was read as; what has no old rows to begin from
is drawn like them, with their mean and deviation in each dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from tawt.arrays import Ints
from tawt.dataset.likeness import Began
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import CheckpointError

_TABLE = "encoder.embedding."
_TOKENS = "heads.tokens."
_DOCUMENTS = "heads.documents."
_NEXT = "heads.next."
_LATENT = "latent."
"""Whose encoder has tables as the other one."""


def hold_longer(where: str, old: Vocabulary, new: Vocabulary, hint: str) -> None:
    """Hold that a vocabulary goes on from another: the same codes, statistics, edges and categories, and more.

    Raises:
        CheckpointError: It does not.
    """
    n = len(old)
    had = old.n_bins > 0
    kept = new.codes[:n] == old.codes and all(
        np.array_equal(getattr(new, name)[:n][had], getattr(old, name)[had]) for name in ("n_bins", "center", "scale")
    )
    kept = kept and all(
        new.categories[i][: len(old.categories[i])] == old.categories[i]
        and (not had[i] or np.array_equal(new.bin_edges[i], old.bin_edges[i]))
        for i in range(n)
    )
    if not kept:
        raise CheckpointError(
            where, f"has vocabulary {old.sha256[:12]}, which that of the workspace, {new.sha256[:12]}, does not go on "
            "from, expected one that does", hint,
        )  # fmt: skip


def is_counted(name: str) -> bool:
    """Return whether a weight of a fresh model is a bias at which a head on data_types begins."""
    last = name.removesuffix(".weight")
    of_types = name.startswith((_TOKENS, f"{_NEXT}what.")) and last.endswith("_bias")
    if of_types or last in (f"{_NEXT}number_bias", f"{_NEXT}knots"):
        return True
    return name.startswith(_DOCUMENTS) and last.endswith(".bias") and "projection" not in name


@dataclass(frozen=True)
class Growth:
    """A vocabulary that grows; `v` old and `w` new data_types in all."""

    old: Vocabulary
    new: Vocabulary
    began: Sequence[Began]
    """Of each new data_type, in order."""
    columns: tuple[Ints, Ints]
    """Data_types that are predicted from an embedding, before and now."""
    counted: Mapping[str, Tensor]
    """Biases of a fresh model for the new vocabulary, by name: what was counted on train, where new rows begin."""
    generator: torch.Generator
    """Of what is drawn."""

    def grow(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return all weights of a model for the new vocabulary; what does not hang on it is as it was."""
        return {name: self._of(name)(tensor).contiguous() for name, tensor in tensors.items()}

    def _of(self, name: str) -> Callable[[Tensor], Tensor]:
        name = name.removeprefix(_LATENT)
        if name == f"{_TABLE}data_type.weight":
            return self._types
        if name in (f"{_TABLE}value.scale.weight", f"{_TABLE}value.shift.weight"):
            return self._numbers
        if name in (f"{_TABLE}value.bins.weight", f"{_TOKENS}bin.weight"):
            return partial(self._bins, int(name.startswith(_TABLE)))
        if name == f"{_TABLE}value.categories.weight":
            return self._categories
        if name.startswith(_DOCUMENTS) and not name.startswith(f"{_DOCUMENTS}projection"):
            return partial(self._columns, name)
        return partial(self._bias, name) if name in self.counted else lambda tensor: tensor

    def _types(self, table: Tensor) -> Tensor:
        return torch.cat([table, *(self._mixed(table, one.sources, one.weights, self._own) for one in self.began)])

    def _numbers(self, table: Tensor) -> Tensor:
        """Rows that numbers are read or told by: from sources that have numbers, else as a fresh model has them."""
        rows = []
        for one in self.began:
            sources, weights = self._with_numbers(one)
            rows.append(self._mixed(table, sources, weights) if sources else torch.zeros_like(table[:1]))
        return torch.cat([table, *rows])

    def _bias(self, name: str, old: Tensor) -> Tensor:
        """Biases of heads: old ones as they are, new ones at what was counted of them."""
        out, n = self.counted[name].detach().clone(), len(self.old)
        if name.endswith(".category_bias"):
            for now, before in self._kept_categories():
                out[now] = old[before]
            out[0] = old[0]
            return out
        if name.endswith(".type_bias"):  # as old ones are to their shares of train now, so is a new one to its own
            out = out + (old - out[:n])[self._own].mean()
        own = torch.ones(n, dtype=torch.bool)
        if not name.endswith((".type_bias", ".status_bias.weight")):  # one that had no numbers and has
            own = torch.from_numpy((self.old.n_bins > 0) | (self.new.n_bins[:n] == 0))
        rows = torch.nn.functional.pad(old, (0, out.shape[1] - old.shape[1])) if old.dim() > 1 else old
        out[:n] = torch.where(own[:, None] if old.dim() > 1 else own, rows, out[:n])
        return out

    def _kept_categories(self) -> Iterator[tuple[slice, slice]]:
        """Yield where the rows of old categories lie in the new flat table, and where they lay."""
        for i in np.flatnonzero(self.old.n_categories > 0).tolist():
            now, before, many = (int(x) for x in (
                self.new.category_offset[i], self.old.category_offset[i], self.old.n_categories[i]
            ))  # fmt: skip
            yield slice(now, now + many), slice(before, before + many)

    def _bins(self, n_before: int, table: Tensor) -> Tensor:
        """Bins that no data_type had begin as the last one; `n_before` rows stand before them."""
        more = max(n_before + self.new.max_bins, 1) - len(table)
        return torch.cat([table, table[-1:].expand(more, *table.shape[1:])])

    def _categories(self, table: Tensor) -> Tensor:
        """Rows of the flat table of categories, behind a row of zeros."""
        flat, old, new = table[1:], self.old, self.new
        out = flat.new_zeros(new.n_category_rows, flat.shape[1])
        out[0] = flat[0]
        for now, before in self._kept_categories():
            out[now] = flat[before]
        for i in np.flatnonzero(new.n_categories > 0).tolist():
            start, end = int(new.category_offset[i]), int(new.category_offset[i] + new.n_categories[i])
            if i >= len(old):
                out[start:end] = self._new_categories(flat, self.began[i - len(old)])
            elif old.n_categories[i]:  # those behind were read as OTHER
                out[start + int(old.n_categories[i]) : end] = out[start]
        return torch.cat([table[:1], out])

    def _new_categories(self, flat: Tensor, one: Began) -> Tensor:
        """OTHER and the categories of a new data_type: as those of the same name of its sources, else as drawn."""
        texts = ("", *self.new.categories[one.data_type])
        rows = []
        for text in texts:
            places, weights = [], []
            for source, weight in zip(one.sources, one.weights, strict=True):
                known = ("", *self.old.categories[source]) if self.old.n_categories[source] else ()
                if text in known:
                    places.append(int(self.old.category_offset[source]) + known.index(text))
                    weights.append(weight)
            rows.append(self._mixed(flat, places, weights, torch.ones(len(flat), dtype=torch.bool)))
        return torch.cat(rows)

    def _columns(self, name: str, table: Tensor) -> Tensor:
        """Heads on embeddings, a row per data_type that is predicted: a new one begins at what was counted of it."""
        before, now = self.columns
        place = {int(data_type): k for k, data_type in enumerate(before)}
        fresh = self.counted.get(name, torch.zeros(len(now), *table.shape[1:]))
        return torch.stack([table[place[i]] if (i := int(one)) in place else fresh[k] for k, one in enumerate(now)])

    def _with_numbers(self, one: Began) -> tuple[tuple[int, ...], tuple[float, ...]]:
        if not self.new.n_bins[one.data_type]:
            return (), ()
        kept = [(s, w) for s, w in zip(one.sources, one.weights, strict=True) if self.old.n_bins[s]]
        return tuple(s for s, _ in kept), tuple(w for _, w in kept)

    def _mixed(
        self, table: Tensor, sources: Sequence[int], weights: Sequence[float], like: Tensor | None = None
    ) -> Tensor:
        """Return one row, `(1, ..)`: the mean of old rows; without any a draw that is like those of `like`."""
        if sources or like is None:
            weight = torch.tensor(weights, dtype=torch.float64)
            return torch.tensordot(weight / weight.sum(), table[list(sources)].double(), 1)[None].to(table.dtype)
        rows = table[like] if like.any() else table
        drawn = torch.randn((1, *table.shape[1:]), generator=self.generator)
        return rows.mean(0, keepdim=True) + drawn * rows.std(0, correction=0, keepdim=True)

    @cached_property
    def _own(self) -> Tensor:
        """`(v,)`, old data_types that are not special."""
        return torch.tensor([kind != "special" for kind in self.old.value_kind])
