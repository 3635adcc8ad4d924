"""Where the latents of new records come from: fitted to those of the records of train, drawn by a record's number.

    normal  N(0, 1), which the divergence holds latents to, and which they never quite are
    vae     a mixture of Gaussians; a class or a number that is known conditions it in closed form
    gan     a generator and its critic in the space of latents, told what is known

A flow would do as a mixture does, with more code and without conditions in closed form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from tawt.arrays import Floats, Ints
from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.chance import Salt, draw, uniform
from tawt.dataset.reader import Split, fingerprint_of
from tawt.errors import CheckpointError, ConfigError, nearest
from tawt.files import digest
from tawt.models.decoder.latent import normals
from tawt.readers import hold_seal, reading
from tawt.runs.load import LoadedDecoder
from tawt.seals import BLANK, sha256_file
from tawt.synthesis.adversary import Generator, fit_generator
from tawt.synthesis.known import Known, columns_of, learned_of
from tawt.synthesis.mixture import Mixture, fit_mixture
from tawt.training.checkpoint import write_tensors

Kind = Literal["normal", "vae", "gan"]
FORMAT = "tawt.prior/1"
STEPS = 1000
"""Of a generator."""
_AGAIN = "remove the file: it is made again from the run"


@dataclass(frozen=True)
class Prior:
    """Gives latents by the numbers of records."""

    kind: Kind
    width: int
    """Numbers of a latent."""
    known: tuple[Known, ...]
    """What may be asked for."""
    tensors: Mapping[str, Tensor]
    """What was fitted."""
    made_of: str = ""
    """Hash of what it was fitted to."""

    def draw(self, numbers: Ints, seed: int, given: Mapping[str, object] | None = None) -> Tensor:
        """Return latents, `(b, width)` float32.

        Args:
            numbers: `(b,)`, of records.
            seed: Of the set: a number and a seed make a latent, what is given being equal.
            given: What is known, by name: one class or number, or one for each record. A mixture leaves open what is
                not given; a generator must be told all that it was fitted with.

        Raises:
            ConfigError: The prior knows no such thing, or must be told one.
        """
        given = given or {}
        noise = normals(draw(numbers, Salt.PRIOR, seed), self.width).double()
        chance = torch.from_numpy(uniform(draw(numbers, Salt.WHICH, seed)))
        if unknown := [name for name in given if name not in {one.name for one in self.known}]:
            names = [one.name for one in self.known]
            raise ConfigError(
                f"{self.kind} prior", f"knows no `{unknown[0]}`, expected one of {', '.join(names) or 'none'}",
                nearest(unknown[0], names),
            )  # fmt: skip
        columns = {one.name: one.encoded(given[one.name], len(numbers)) for one in self.known if one.name in given}
        if self.kind == "normal":
            return noise.float()
        if self.kind == "vae":
            return self._of_mixture(noise, chance, columns).float()
        if lacking := [one.name for one in self.known if one.name not in given]:
            what = f"was fitted with `{lacking[0]}`, and is not told it, expected all that it was fitted with"
            raise ConfigError("gan prior", what, "give it, or use the prior `vae`, which leaves it open")
        facts = torch.cat([*columns.values(), noise[:, :0]], 1)
        with torch.no_grad():
            generator = Generator(self.width, facts.shape[1])
            generator.load_state_dict(dict(self.tensors))
            made: Tensor = generator(noise.float(), facts.float())
        return made

    def _of_mixture(self, noise: Tensor, chance: Tensor, columns: Mapping[str, Tensor]) -> Tensor:
        mixture = Mixture(*(self.tensors[name] for name in ("log_weight", "mean", "covariance")))
        at, first = [], self.width
        for one in self.known:
            at += list(range(first, first + one.width)) if one.name in columns else []
            first += one.width
        facts = torch.cat([*columns.values(), noise[:, :0]], 1)
        weight, mean, left = mixture.given(torch.tensor(at, dtype=torch.int64), facts)
        which = torch.searchsorted(weight.exp().cumsum(1), chance[:, None])[:, 0].clamp_max(weight.shape[1] - 1)
        lower = torch.linalg.cholesky(left.covariance[:, : self.width, : self.width])
        rows = torch.arange(len(which))
        return mean[rows, which, : self.width] + torch.einsum("nij,nj->ni", lower[which], noise)


@torch.no_grad()
def posteriors(decoder: LoadedDecoder, split: Split, seed: int = 0) -> tuple[Ints, Floats]:
    """Return the subjects of a split who have a record, `(s,)`, and a draw from what each record says of its latent.

    Args:
        decoder: With a latent.
        split: Of the decoder's vocabulary.
        seed: Of the draws.

    Raises:
        CheckpointError: The decoder has no latent.
    """
    if decoder.latent is None:
        raise CheckpointError(
            str(decoder.weights), "has no latent, expected a decoder with one", "pretrain one by `latent_small`"
        )
    loader = PackedLoader(split, decoder.vocabulary, decoder.config.batching, decoder.config.train.seed)
    subjects: list[Ints] = []
    drawn = []
    batch: PackedBatch
    for batch in loader.sequential():
        posterior = decoder.latent(batch)
        noise = normals(draw(batch.subject_id.numpy(), Salt.ORIGIN, seed), posterior.mean.shape[1])
        subjects.append(batch.subject_id.numpy())
        drawn.append(posterior.drawn(noise).numpy())
    return np.concatenate(subjects), np.concatenate(drawn).astype(np.float64)


def fit_prior(
    kind: Kind,
    decoder: LoadedDecoder,
    train: Split,
    tuning: Split | None,
    *,
    known: Mapping[str, Mapping[int, str | float]] | None = None,
    seed: int = 0,
    steps: int = STEPS,
) -> Prior:
    """Fit a prior to the latents of train.

    Args:
        kind: Of the prior.
        decoder: With a latent.
        train: Whose records it is fitted to.
        tuning: By whose records the number of Gaussians is chosen; None = by a tenth of train, which is left out then.
        known: By name, a class or a number of each subject; who lacks one is left out.
        seed: Of draws, beginnings and the generator.
        steps: Of a generator.

    Raises:
        CheckpointError: The decoder has no latent.
        ConfigError: There is no such kind, or something is known of too few subjects.
    """
    if kind not in get_args(Kind):
        raise ConfigError(
            "prior", f"`{kind}` is none, expected one of {', '.join(get_args(Kind))}", nearest(kind, get_args(Kind))
        )
    width, known = decoder.config.objective.latent.width, known or {}
    made_of = _made_of(kind, decoder, train, tuning, known, seed, steps)
    if kind == "normal":
        return Prior(kind, width, (), {}, made_of)
    subjects, z = posteriors(decoder, train, seed)
    what, there, facts = learned_of(known, subjects)
    rows = torch.from_numpy(np.concatenate([z[there], facts], 1))
    if kind == "gan":
        generator = fit_generator(rows[:, :width].float(), rows[:, width:].float(), seed, steps)
        return Prior(kind, width, what, {k: p.detach() for k, p in generator.named_parameters()}, made_of)
    if tuning is not None and tuning.n_triplets:
        others, their_z = posteriors(decoder, tuning, seed)
        there, facts = columns_of(what, known, others)
        held = torch.from_numpy(np.concatenate([their_z[there], facts], 1))
    else:
        out = torch.from_numpy(uniform(draw(subjects[there], Salt.ORIGIN, seed + 1)) < 0.1)
        rows, held = rows[~out], rows[out]
    mixture = fit_mixture(rows, held, seed)
    return Prior(kind, width, what, vars(mixture), made_of)


def save_prior(prior: Prior, path: Path) -> None:
    """Write a prior as one sealed safetensors file, whole or not at all."""
    about = {"format": FORMAT, "kind": prior.kind, "width": prior.width, "known": [asdict(one) for one in prior.known]}
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in prior.tensors.items()}
    write_tensors(tensors, path, {"prior": json.dumps(about | {"made_of": prior.made_of}), "seal": BLANK})


def load_prior(path: Path) -> Prior:
    """Read what `save_prior` wrote.

    Raises:
        CheckpointError: It is absent, damaged, or something else.
    """
    with reading(path, "a prior", _AGAIN, CheckpointError):
        hold_seal(path, _AGAIN, CheckpointError, always=True)
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("prior", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if about.get("format") != FORMAT:
        raise CheckpointError(str(path), f"is of another format, expected {FORMAT}", _AGAIN)
    known = tuple(Known(**one | {"classes": tuple(one["classes"])}) for one in about["known"])
    return Prior(about["kind"], about["width"], known, tensors, about["made_of"])


def ready_prior(
    path: Path,
    kind: Kind,
    decoder: LoadedDecoder,
    train: Split,
    tuning: Split | None,
    *,
    known: Mapping[str, Mapping[int, str | float]] | None = None,
) -> Prior:
    """Return the prior of a file where it is of these weights, subjects and settings; else fit it, and write it there.

    Arguments and errors are those of `fit_prior`.
    """
    if path.exists():
        found = load_prior(path)
        if found.made_of == _made_of(kind, decoder, train, tuning, known or {}, 0, STEPS):
            return found
    made = fit_prior(kind, decoder, train, tuning, known=known)
    save_prior(made, path)
    return made


def _made_of(
    kind: Kind, decoder: LoadedDecoder, train: Split, tuning: Split | None,
    known: Mapping[str, Mapping[int, str | float]], seed: int, steps: int,
) -> str:  # fmt: skip
    splits = tuple(split for split in (train, tuning) if split is not None)
    told = {name: sorted((int(who), what) for who, what in of.items()) for name, of in known.items()}
    return digest([FORMAT, kind, sha256_file(decoder.weights), fingerprint_of(splits), told, seed, steps])
