"""A packed batch -> an example: cut, augmented, doubled, hidden, with its truths. Runs in the loader's thread.

A pure function of (batch, seed, number): neither ranks nor threads nor what was asked before matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from tawt.batching.augment import AUGMENT, altered
from tawt.batching.batch import PackedBatch, make_layout
from tawt.batching.cut import cut
from tawt.batching.example import Example, ForecastTargets, LabelTargets, LatentInputs, MaskedTargets, NextTargets
from tawt.batching.host import HostBatch
from tawt.batching.layout import Layout
from tawt.batching.left import make_cutter
from tawt.batching.masking import TRAINING, VALIDATION, draw_masks, hide, may_lose
from tawt.batching.views import VIEWS
from tawt.config.latent import KL
from tawt.config.objective import MaskedConfig
from tawt.config.train import PretrainConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.heads.targets import Targets
from tawt.modalities.fusion.beside import Finder
from tawt.modalities.fusion.pairs import Pairing
from tawt.models.decoder.latent import normals
from tawt.objectives import forecast, masked, next_event
from tawt.objectives.baselines import Baselines, forecast_types
from tawt.objectives.next_targets import make_targets
from tawt.objectives.parts import LABEL, weights

_LATENT = 12
"""Salt of what is drawn of latents."""


class Preparer:
    """Makes examples of batches.

    Args:
        config: Model (granularity and readout decide the tokens), objectives, augmentation and seed.
        vocabulary: Of the dataset.
        baselines: What trivial guesses cost.
        training: False draws with salts of validation and augments nothing, so that validations are comparable.
        blocks: Makes the block mask of FlexAttention from a layout, where that kernel is used.
        targets: What a task's head is to say at the prediction times of the batches; None = there is no task.
        finder: Finds what lies beside the documents of a batch; None = nothing is looked at.
        pairing: Finds what documents are paired with; None = the objective is off.
    """

    def __init__(
        self,
        config: PretrainConfig,
        vocabulary: Vocabulary,
        baselines: Baselines,
        training: bool,
        blocks: Callable[[Layout], Any] | None = None,
        targets: Targets | None = None,
        finder: Finder | None = None,
        pairing: Pairing | None = None,
    ) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.baselines = baselines
        self.training = training
        self.blocks = blocks
        self.targets = targets
        self.finder, self.pairing = finder, pairing
        self.parts = weights(config.objective)
        self.cutter = make_cutter(config, training)
        self.losable = may_lose(vocabulary)
        self.columns = forecast_types(vocabulary, config.objective.forecast.n_types)

    def __call__(self, batch: HostBatch, number: int) -> Example:
        """Return the example of a batch.

        Args:
            batch: With `available` if forecasting is on.
            number: Of the batch in its stream; it decides all draws.
        """
        objective, vocabulary = self.config.objective, self.vocabulary
        counts: dict[str, int] = {}
        baseline: dict[str, float] = {}
        ahead: ForecastTargets | None = None
        hidden: MaskedTargets | None = None
        drawn = number if batch.packing is None else batch.packing
        # cut first: what comes next is asked of the record as it was, not of an augmented one
        if objective.forecast.weight:
            batch = batch if batch.is_cut is not None else self.cutter.timed(batch, drawn)
            batch, coming = cut(batch, objective.forecast, self.columns)
            ahead = forecast.make_targets(coming, self.columns, vocabulary, objective.forecast)
            counts |= forecast.counts(ahead)
            baseline |= forecast.baseline_sums(self.baselines, ahead, self.columns, objective.forecast)
        batch = self.cutter.thin(batch, drawn)
        batch = altered(batch, self.cutter.augment, vocabulary, AUGMENT, *self._salts(number))
        if self.cutter.views is not None:
            batch = altered(batch, self.cutter.views, vocabulary, VIEWS, *self._salts(number))
        if objective.masked.weight:
            masks = draw_masks(batch, objective.masked, self.losable, *self._salts(number))
            hidden = masked.make_targets(batch, masks, vocabulary, objective.masked, self.columns)
            counts |= masked.counts(hidden)
            baseline |= masked.baseline_sums(self.baselines, hidden, vocabulary, objective.masked.value_loss)
            batch = hide(batch, masks)
        following: NextTargets | None = None
        if objective.next.weight:
            counted = self.baselines.next
            assert counted is not None
            following = make_targets(
                batch, vocabulary, counted.knots, counted.told_types, how=objective.next,
                # what tells how well it does is the likelihood
                quiet_hours=objective.next.quiet_hours if self.training else 0.0,
                later_types=counted.later_types if objective.next.later_weight else None,
            )  # fmt: skip
            counts |= next_event.counts(following)
            baseline |= next_event.baseline_sums(counted, following, vocabulary)
        whole = batch
        if objective.latent.is_on:
            counts[KL] = batch.n_documents
            baseline[KL] = batch.n_documents * objective.latent.width * objective.latent.free_bits
            if self.training:
                lost = MaskedConfig(weight=0, value=0, data_type=0, event=objective.latent.event_dropout)
                batch = hide(batch, draw_masks(batch, lost, self.losable, *self._salts(number)))
        label: LabelTargets | None = None
        if self.targets is not None:
            assert batch.asked is not None, "a task's documents are of its prediction times"
            at = self.targets
            label = LabelTargets(*(torch.from_numpy(x[batch.asked]) for x in (at.truth, at.weight, at.facts)))
            counts[LABEL] = int(label.weight.any(1).sum())
            baseline[LABEL] = float(at.cost[batch.asked].sum())
        packed = batch.tensors()
        found = None if self.finder is None else self.finder(batch, *self._salts(number), training=self.training)
        return Example(
            batch=replace(packed, layout=self._layout(packed), beside=found),
            masked=hidden,
            forecast=ahead,
            next=following,
            label=label,
            # a name that holds across batches and processes
            view_of=packed.subject_id if objective.contrastive.weight else None,
            counts={part: counts[part] for part in self.parts if part in counts},
            baseline={part: baseline[part] for part in self.parts if part in baseline},
            number=number,
            n_tokens=packed.n_tokens,
            latent=self._latent(whole, number) if objective.latent.is_on else None,
            pairs=None
            if self.pairing is None
            else self.pairing.of(batch, *self._salts(number), training=self.training),
        )

    def _latent(self, whole: HostBatch, number: int) -> LatentInputs:
        latent = self.config.objective.latent
        assert latent.model is not None
        packed = whole.tensors()
        layout = make_layout(packed, latent.model.granularity, with_cls=latent.model.with_cls)
        return LatentInputs(
            replace(packed, layout=layout), normals(whole.words(_LATENT, *self._salts(number)), latent.width)
        )

    def _salts(self, number: int) -> tuple[int, int, int]:
        return TRAINING if self.training else VALIDATION, self.config.train.seed, number

    def _layout(self, batch: PackedBatch) -> Layout:
        model = self.config.model
        layout = make_layout(batch, model.granularity, with_cls=model.with_cls)
        return layout if self.blocks is None else replace(layout, blocks=self.blocks(layout))
