"""Weights that a run starts from: those of another run, as far as they fit, and which of its own they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from tawt.config.modalities import ContentConfig, ModalitiesConfig
from tawt.config.train import PretrainConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.heads.lora import is_update, merged, plain_name
from tawt.objectives.pretrain_model import PretrainModel
from tawt.runs.find import flat
from tawt.runs.load import Saved
from tawt.training.checkpoint import put_weights, read_tensors

_BESIDE = "encoder.beside."
_OF_EACH = ("modalities", "norms", "sides")
"""Parts that there are of each modality, by its place."""


def start_from(saved: Saved, model: PretrainModel, config: PretrainConfig) -> str:
    """Put another run's weights into a model, and return what was taken and what starts anew.

    The encoder's must all fit but for those of a readout, of what lies beside records, and of an encoding of time that
    the other has not: it says nothing at first, so that the encoder is the one that it was. Heads and readouts are
    taken as far as they fit; of a modality all or nothing, and how they join where all of them are.

    Raises:
        CheckpointError: The weights cannot be read, or are of an encoder of another shape.
    """
    tensors, own = _tensors(saved, config), {plain_name(n): p for n, p in model.named_parameters()}
    fits = _fitting(tensors, own, saved, config)
    of_encoder = [name for name in own if name.startswith("encoder.") and not is_update(name)]
    more = _more_of_time(model, tensors)
    spared = ("encoder.pooling.", _BESIDE, *more.values())
    was, now = (flat(c.model_dump(mode="json")["model"], "model.") for c in (saved.config, config))
    other = [key for key in now if was.get(key) != now[key] and key != "model.kernel"]
    if lacking := [name for name in of_encoder if not name.startswith(spared) and name not in fits]:
        set_so = f" (set otherwise there: {', '.join(other)})" if other else ""
        raise CheckpointError(
            str(saved.weights), f"has another `{lacking[0]}`, or none{set_so}, expected an encoder of this shape",
            "give the `model` section of that run's config.yaml",
        )  # fmt: skip
    put_weights({name: own[name] for name in fits}, {name: tensors[name] for name in fits}, saved.weights)
    for name in more:
        model.encoder.embedding.time.silence(name)
    anew = sorted(
        {".".join(name.split(".")[:3]) for name in own if name not in fits and not name.startswith(spared[1:])}
    )
    return (
        f"weights of {saved.weights}: {len(fits)} of {len(own)} tensors; optimizer, schedule and data start anew"
        + (f"; so do {', '.join(anew)}" if anew else "")
        + "".join(f"; {text}" for text in _told_beside(fits, config))
        + (f"; of `model.time` {', '.join(more)} is new, and says nothing before it has learned" if more else "")
        + (f"; set otherwise there: {', '.join(other)}" if other else "")
    )


def learned_before(saved: Saved, model: PretrainModel, config: PretrainConfig) -> frozenset[str]:
    """Return names of weights of a model's encoder that were learned before it: by another run that it starts from, or
    by an encoder that the config names."""
    own = dict(model.named_parameters())
    fits = _fitting(_tensors(saved, config), own, saved, config)
    begun = tuple(
        f"{_BESIDE}modalities.{k}." for k, part in enumerate(config.modalities.named.values())
        if part.file is not None
    )  # fmt: skip
    return frozenset(
        name for name in own
        if name.startswith("encoder.") and (not name.startswith(_BESIDE) or name in fits or name.startswith(begun))
    )  # fmt: skip


def with_learned(modalities: ModalitiesConfig, saved: Saved) -> ModalitiesConfig:
    """Return modalities that start as a run has learned them: a frozen one names its weights, and one that learns on
    no longer those that the run itself began from.

    Raises:
        ConfigError: A checkpoint is to be frozen of which the run has learned on.
    """
    before = saved.config.modalities.named

    def learned(name: str, now: ContentConfig) -> ContentConfig:
        was = before.get(name)
        if was is None or was.frozen or now.weights not in ("", was.weights):
            return now
        if now.frozen and now.folder is not None:
            raise ConfigError(
                f"modalities.{name}.frozen", f"keeps what lies in {now.folder}, and the run has learned on from "
                "there, expected false", f"leave it out; or, for the checkpoint as it was, `--run` one without {name}s",
            )  # fmt: skip
        return now.model_copy(update={"weights": str(saved.weights.absolute()) if now.frozen else ""})

    return modalities.each(learned)


def _tensors(saved: Saved, config: PretrainConfig) -> dict[str, Tensor]:
    """Return a run's weights; those of modalities by the places that these have in a config."""
    before, after = list(saved.config.modalities.named), list(config.modalities.named)
    tensors = {}
    for name, tensor in merged(read_tensors(saved.weights)).items():
        part, _, rest = name.removeprefix(_BESIDE).partition(".")
        if name.startswith(_BESIDE) and part in _OF_EACH:
            place, _, rest = rest.partition(".")
            if before[int(place)] not in after:
                continue
            name = f"{_BESIDE}{part}.{after.index(before[int(place)])}.{rest}"
        tensors[name] = tensor
    return tensors


def _fitting(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], saved: Saved, config: PretrainConfig
) -> set[str]:
    """Return which parameters take the tensors of their names."""
    fits = {name for name, p in own.items() if name in tensors and tensors[name].shape == p.shape}
    of_beside = {name for name in own if name.startswith(_BESIDE)}
    was, now = saved.config.modalities, config.modalities
    taken, joins = fits - of_beside, set(of_beside)
    n_taken = 0
    for k, (name, part) in enumerate(now.named.items()):
        before = was.named.get(name)
        all_of = {one for one in of_beside if one.startswith(tuple(f"{_BESIDE}{each}.{k}." for each in _OF_EACH))}
        joins -= all_of
        # of one that the run kept as it was it has no weights: they are where they were
        wanted = {one for one in all_of if not (before and before.frozen and one.startswith(f"{_BESIDE}modalities."))}
        if before is not None and _goes_on(part, before, saved.weights) and wanted <= fits:
            taken |= wanted
            n_taken += 1
    same = list(was.named) == list(now.named) and n_taken == len(now.named) and was.fusion.how == now.fusion.how
    return taken | joins if same and joins <= fits else taken


def _goes_on(now: ContentConfig, was: ContentConfig, weights: Path) -> bool:
    """Return whether an encoder is not to begin from elsewhere than a run did, but from what the run has."""
    if now.weights in ("", was.weights):
        return True
    return now.file is not None and now.file.absolute() == weights.absolute()


def _told_beside(fits: set[str], config: PretrainConfig) -> list[str]:
    """Return where the encoders of what lies beside records are from."""
    told = []
    for k, (name, part) in enumerate(config.modalities.named.items()):
        if any(one.startswith(f"{_BESIDE}modalities.{k}.") for one in fits):
            begins = "is that of the run"
        elif part.file is not None:
            begins = f"{'stays as in' if part.frozen else 'starts from'} {part.folder or part.file}"
        else:
            begins = "starts anew"
        told.append(f"the encoder of modalities.{name} {begins}")
    return told


def _more_of_time(model: PretrainModel, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return encodings of time of which weights have nothing, and how the names of their parameters begin."""
    time = model.encoder.embedding.time
    (at,) = (name for name, module in model.named_modules() if module is time)
    begins = {name: f"{at}.{place}." for name, (place, _) in time.named().items()}
    return {name: begin for name, begin in begins.items() if not any(one.startswith(begin) for one in tensors)}
