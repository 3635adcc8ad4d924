"""The model card of a run: RUN/README.md, which says what the weights were made from, how well they do and where not
to use them. It is made of counts and settings alone, and holds no value of a patient."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tawt.cards.markdown import cell, table
from tawt.config.objective import ObjectiveConfig
from tawt.contracts.cells import SMALL_CELL, few
from tawt.files import write_text
from tawt.runs.find import RunFolder, baseline_key, flat, loss_key, parts_of, read_runs
from tawt.seals import BLANK, filled, holds
from tawt.shell import command
from tawt.training.health import LEAST_SUBJECTS
from tawt.training.versions import Start, Versions, read_versions

CARD = "README.md"
_TAGS = ("electronic-health-records", "time-series", "self-supervised", "transformer", "medical")
_SETTINGS = (
    "model.d_model", "model.n_layers", "model.n_heads", "model.d_ffn", "model.granularity", "model.value", "model.time",
    "model.combine", "model.attention", "model.pooling", "batching.max_length", "batching.tokens_per_batch",
    "train.max_steps", "train.lr", "train.schedule", "train.precision", "train.seed",
)  # fmt: skip
_HEALTH = {
    "effective_rank": "effective rank (directions in use)",
    "participation_ratio": "participation ratio (the strict count of them)",
    "uniformity": "uniformity (0 = all in one point; lower is more spread)",
    "mean_norm": "mean length",
    "common_share": "share of squared length that all have in common",
    "dead_share": "share of dimensions that hardly vary",
    "age_r2": "linear probe of age, R2 on the other half (0 = nothing)",
    "sex_auroc": "linear probe of sex, AUROC on the other half (0.5 = nothing)",
}


def write_card(run: Path, *, data: Mapping[str, int] | None = None) -> Path:
    """Write RUN/README.md from what the run folder holds, unless it was edited since, and return its path.

    Args:
        run: A finished run.
        data: Counts of what it was trained on, such as `{"subjects in train": 800}`; people counted from 1 to 10 are
            shown as `<11`.

    Raises:
        CheckpointError: The folder has no config.yaml.
    """
    path = Path(run) / CARD
    if not was_edited(run):
        write_text(path, filled(f"{card(Path(run), data=data)}\n<!-- {BLANK} -->\n"))
    return path


def was_edited(run: Path) -> bool:
    """Return whether a run has a card that is not as it was written: it asks to be filled in."""
    return (run / CARD).is_file() and not holds(run / CARD)


def card(run: Path, *, data: Mapping[str, int] | None = None, shared: bool = False) -> str:
    """Return the text of a run's model card; `shared` for the folder of `TawtModel.save_pretrained`.

    Raises:
        CheckpointError: The folder has no config.yaml.
    """
    (folder,) = read_runs([run])
    name = " ".join(folder.path.resolve().name.split())
    decodes = not shared and bool(folder.config.get("objective.next.weight"))  # what is shared is the encoder alone
    front = {
        "library_name": "tawt",
        "license": "other",
        "license_name": "to-be-chosen",
        "pipeline_tag": "time-series-forecasting" if decodes else "feature-extraction",
        "tags": ["tawt", *_TAGS],
    }
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n",
        f"# {name}\n\n{_DECODER if decodes else _WHAT}" + ("" if shared else f"\n\n{_PATIENTS}"),
        f"## Use\n\n{_decoded(folder, name) if decodes else ''}{_use(name, shared)}",
        f"## Data\n\n{_data(folder, data)}",
        f"## Objectives\n\n{_objectives(folder)}",
        f"## Results\n\n{_results(folder, shared)}",
        f"## Embeddings\n\n{_health(folder)}",
        f"## Settings\n\n{_settings(folder, shared)}",
        f"## Made with\n\n{_made(read_versions(run))}",
        f"## Limits and intended use\n\n{_LIMITS.format(vocabulary=_SHARED if shared else _OWN)}",
    ]
    return "\n\n".join(section.rstrip("\n") for section in sections) + "\n"


def _use(name: str, shared: bool) -> str:
    if shared:
        return (
            "```python\nimport tawt\n\n"
            'model = tawt.TawtModel.from_pretrained("FOLDER")  # this folder, or its id on the Hub\n'
            'for batch in model.batches("WORKSPACE"):  # records encoded with the vocabulary of this folder\n'
            "    embedding = model.embed(batch)  # (n_documents, d_embedding) float32\n```"
        )
    return (
        "```python\nimport tawt\n\n"
        f"model = tawt.TawtModel.from_pretrained({json.dumps(name)})  # this folder\n"
        'for batch in model.batches("WORKSPACE"):\n'
        "    embedding = model.embed(batch)  # (n_documents, d_embedding) float32\n```\n\n"
        f"From the command line: `{command('embed', workspace='WORKSPACE', run=name)}`. The workspace must have the "
        "vocabulary that lies in this\nfolder."
    )


def _decoded(run: RunFolder, name: str) -> str:
    """Return what a decoder is for; one that is told of whole records continues none."""
    of_latent = bool(run.config.get("objective.latent.encoder")) or "objective.latent.model.d_model" in run.config
    generate = command("generate", workspace="WORKSPACE", run=name, subjects=1000, out="INVENTED")
    lines = [f"- `{generate}` draws records of nobody."]
    if not of_latent:
        risk = command("risk", "TASK", workspace="WORKSPACE", run=name)
        lines.append(f"- `{risk}` says how likely something is, by what comes in continuations of each record.")
    return "\n".join(lines) + "\n\nIt gives embeddings too, of each record and each event, by what comes next:\n\n"


def _data(run: RunFolder, data: Mapping[str, int] | None) -> str:
    rows: list[tuple[str, str]] = []
    for what, n in (data or {}).items():
        rows.append((what, few(n) if "subject" in what else f"{n:,}"))
    train = run.lines("train")
    if train:
        rows.append(("optimizer steps", f"{train[-1]['step']:,}"))
    if run.vocabulary:
        rows.append(("vocabulary, SHA-256", f"`{run.vocabulary[:16]}`"))
    text = table(("what", "count"), rows) if rows else "Not recorded."
    return (
        f"{text}\n\nWhere the records come from, and under which terms, is for whoever shares this model to say here."
    )


def _objectives(run: RunFolder) -> str:
    usual = flat(ObjectiveConfig().model_dump(mode="json"))
    lines = []
    for name, what in _LEARNS.items():
        weight = run.config.get(f"objective.{name}.weight", 0)
        if not weight:
            continue
        own = {
            key.removeprefix(f"objective.{name}."): value
            for key, value in run.config.items()
            if key.startswith(f"objective.{name}.")
            and (value != usual.get(key.removeprefix("objective.")) or key.endswith(".window_hours"))
        }
        own.pop("weight", None)
        said = ", ".join(f"`{key}` {cell(value)}" for key, value in own.items())
        lines.append(f"- **{name}**, weight {weight:g}: {what}" + (f" Set: {said}." if said else ""))
    return "\n".join(lines) or "Not recorded."


def _results(run: RunFolder, shared: bool) -> str:
    tuning = run.lines("tuning")
    if not tuning:
        return "There was no validation: nothing is known of how well it does."
    last = tuning[-1]
    parts = parts_of(last)
    rows: list[tuple[Any, ...]] = []
    few = [part for part in parts if shared and last.get(f"subjects_{part}", 0) <= SMALL_CELL]
    for part in ("all", *parts):
        weight = run.weight(part) if part != "all" else None
        weighs = "" if weight is None else f"{weight:g}"
        if part in few or (few and part == "all"):  # the sum would tell a part's by subtraction
            rows.append((part, weighs, *["withheld"] * 4))
            continue
        loss, trivial = last.get(loss_key(part)), last.get(baseline_key(part))
        gain = f"{1 - loss / trivial:.1%}" if loss is not None and trivial else ""
        rows.append((part, weighs, loss, trivial, gain, last.get(f"n_{part}", "")))
    said = (
        f"Loss on `tuning` after step {last['step']:,}, beside its trivial baseline: what is lost by predicting\n"
        "what is most common in `train`, without looking at the patient."
    )
    text = f"{said}\n\n{table(('part', 'weight', 'loss', 'trivial', 'below it', 'positions'), rows)}"
    return text + (f"\n\nWithheld are parts that at most {SMALL_CELL} subjects have a position of." if few else "")


def _health(run: RunFolder) -> str:
    lines = run.lines("health")
    if not lines:
        return "Not looked at."
    last = lines[-1]
    rows = [(said, float(last[key])) for key, said in _HEALTH.items() if key in last]
    if not rows:
        return "Too few subjects to say anything."
    n = few(int(last.get("n_subjects", 0)))
    probed = {name: last.get(f"{name}_n") for name in ("age", "sex")}
    of = [f"{name} of {few(int(n_of))}" for name, n_of in probed.items() if n_of]
    missing = [name for name, n_of in probed.items() if not n_of]
    said = f"Of {n} subjects of `tuning`, after step {last['step']:,}" + (f"; {', '.join(of)} of them:" if of else ":")
    text = f"{said}\n\n{table(('what', 'value'), rows)}"
    if missing:
        text += f"\n\nNot probed, for want of a code or of {LEAST_SUBJECTS} subjects: {', '.join(missing)}."
    return text


def _settings(run: RunFolder, shared: bool) -> str:
    rows = [(f"`{key}`", run.config[key]) for key in _SETTINGS if key in run.config]
    text = f"{table(('key', 'value'), rows)}\n\nAll of them: `config.yaml` or `config.json` beside this file."
    return f"{_began(run.init, shared)}{text}"


def _began(start: Start | None, shared: bool) -> str:
    """Return which weights a run was begun from, if not from those of its seed; a shared card names no path."""
    if start is None:
        return ""
    where = "" if shared else f" `{start.weights}`"
    return f"Begun from the weights{where} of another run, SHA-256 `{start.sha256[:16]}`, not from its seed's.\n\n"


def _made(versions: Versions | None) -> str:
    if versions is None:
        return "Not recorded."
    rows = [*versions.packages.items()]
    rows += [(key, str(getattr(versions, key))) for key in ("python", "device", "precision", "threads")]
    said = f"The dataset was stale when it was trained on: {versions.stale}.\n\n" if versions.stale is not None else ""
    return said + table(("what", "version or value"), rows)


_LEARNS = {
    "masked": "fields of triplets were hidden, and told from the rest of the record.",
    "forecast": "records were cut, and what came within the next hours was told from the embedding.",
    "next": "each event was told from those before it: when it came, what it was, and with which value.",
    "contrastive": "two altered copies of a record were to be found among those of other people.",
    "paired": "the image that followed a record was to be found among those of other people, and the other way.",
}

_WHAT = """\
A transformer encoder over sorted triplets `[data_type, value, timestamp]` of patient records, pretrained without
labels by tawt. It turns a record into one vector, and each event of it into one."""

_DECODER = """\
A transformer decoder over sorted triplets `[data_type, value, timestamp]` of patient records, pretrained without
labels by tawt to tell the next event: when it comes, what it is, and with which value. It draws records of nobody."""

_LIMITS = """\
Meant for research on records coded like those it was trained on: as features for a small model that is trained,
calibrated and tested on labels of the place where it will be used.

- It is no medical device and gives no diagnosis; nothing here was tested on a clinical decision.
- It knows only the codes of its vocabulary, and the habits of measuring and billing of the place its data come from.
  Who is measured, and how often, is itself a signal that does not carry over.
- Differences between groups of people in the data are differences in the embeddings; look at each group by itself.
- A model can remember rare records. {vocabulary}
  Share both only as the data's terms allow."""

_PATIENTS = """\
**This folder holds patients' data**: its vocabulary has numbers and texts of single people, its weights and checkpoints
were trained on theirs. Keep it as you keep the records. To share the model, save it elsewhere with
`TawtModel.save_pretrained`, which leaves out what few people have."""

_OWN = "The vocabulary beside it holds counts, statistics and category texts of its data."
_SHARED = "The vocabulary beside it holds codes, counts and rounded statistics of its data."
