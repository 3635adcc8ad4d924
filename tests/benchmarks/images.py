"""How well the small encoders of images tell pneumonia on PneumoniaMNIST, from nothing but its 4,708 training images.

    OMP_NUM_THREADS=1 python tests/benchmarks/images.py --data FOLDER [--encoder cnn] [--epochs 10] [--seeds 1]

FOLDER holds the npz file of the set. Images go the way of any content: prepared and augmented by their modality, by
words that only seed, pass and image decide. The test split is asked once, at the end.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tawt.chance import draw, shuffled
from tawt.config.modalities import ImageConfig, ModalitiesConfig
from tawt.modalities.encoders.made import make_modalities
from tawt.modalities.encoders.modality import Modality

BATCH, RATE, WARM, SMOOTHING, DECAY = 64, 2e-3, 0.15, 0.1, 0.05
Data = dict[str, tuple[Tensor, Tensor]]


def prepared(file: Path, modality: Modality) -> Data:
    """Return inputs and labels of each split."""
    with np.load(file) as arrays:
        return {
            split: (
                torch.stack([modality.prepared(image[..., None]) for image in arrays[f"{split}_images"]]),
                torch.from_numpy(arrays[f"{split}_labels"][:, 0]).float(),
            )
            for split in ("train", "val", "test")
        }


def taught(modality: Modality, data: Data, epochs: int, seed: int) -> nn.Module:
    """Return the modality with a linear head, trained."""
    torch.manual_seed(seed)
    model = nn.Sequential(modality, nn.GELU(), nn.Linear(modality.d_embedding, 1))
    weights = [[p for p in model.parameters() if (p.ndim > 1) == wide] for wide in (True, False)]
    groups = [{"params": own, "weight_decay": decay} for own, decay in zip(weights, (DECAY, 0.0), strict=True)]
    optimizer = torch.optim.AdamW(groups, RATE)
    images, truth = data["train"]
    n_steps = len(images) // BATCH
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * n_steps + 1, pct_start=WARM)
    for epoch in range(epochs):
        order = shuffled(len(images), seed, epoch)
        for step in range(n_steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            inputs = modality.augmented(images[rows], draw(rows, seed, epoch))
            loss = binary_cross_entropy_with_logits(model(inputs)[:, 0], truth[rows] * (1 - SMOOTHING) + SMOOTHING / 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    return model


@torch.no_grad()
def scored(model: nn.Module, data: Data, split: str) -> float:
    """Return the AUROC on a split."""
    images, truth = data[split]
    logits = torch.cat([model(part)[:, 0] for part in images.split(256)])
    return float(roc_auc_score(truth.numpy(), logits.numpy()))


def main() -> None:
    """Train once per seed and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="cnn", choices=("cnn", "vit"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    (file,) = given.data.glob("*.npz")
    for seed in range(given.seeds):
        (modality,) = make_modalities(ModalitiesConfig(image=ImageConfig(encoder=given.encoder)), seed)
        data, start = prepared(file, modality), time.process_time()
        model = taught(modality, data, given.epochs, seed)
        n, spent = sum(p.numel() for p in model.parameters()), time.process_time() - start
        found = ", ".join(f"{split} {scored(model, data, split):.4f}" for split in ("val", "test"))
        print(f"{given.encoder}, {n:,} parameters, seed {seed}: AUROC {found}; {spent:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
