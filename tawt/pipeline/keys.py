"""What a stage hangs on besides what it reads, by key, and what is behind each key now.

A key is a file below a project (`sql/mimic_iv/event_parts/labs.sql`; a contract without its ending), a folder of it
(a key that ends in `/`: the names in it), a part of the pipeline (`pipeline.clock`, `pipeline.data_types.*.unit`) or
what an ingest found (`ingest.sample`). Files are known by a hash of what they say, the rest as it is. No engine is
asked: who runs a stage and who only trains on what it gave compare the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tawt.contracts.workspace import home_of
from tawt.errors import TawtError
from tawt.files import digest, stamp
from tawt.pipeline.origin import Source, source_now, without_project
from tawt.pipeline.workspace import Workspace, folder_of
from tawt.project import Project
from tawt.raw.beside import IMAGES, stated
from tawt.readers import read_parquet
from tawt.seals import sha256_file
from tawt.sources.written import ABSENT, of_file

UNKNOWN = "unknown"
"""What is behind a key that cannot be looked at here: it is taken for what it was."""
SAMPLED = "ingest.sampled_hash"
SPLITS_FILE = "ingest.splits_file"
CONTENT_FILES = "ingest.content_files"
"""The files of images and waveforms that a raw table lists."""
ABSENT_TABLES = "ingest.absent_tables"
"""Optional raw tables that the last ingest did not find."""
_N_SHARDS = "ingest.n_shards"
OPTED_OUT = "ingest.opted_out"
"""Who asked to be forgotten."""
GONE_ON_FROM = "ingest.base"
"""What the vocabulary goes on from."""
_LONGEST = 40
_NAMED = 3


class Now:
    """What a workspace has behind keys, each looked at once.

    Args:
        workspace: Knows its project, its pipeline and what an ingest found.
        sampled_hash: The largest hash of a subject in a sample of so many, where the raw tables told it.
        before: The same workspace with other settings: files and the pipeline's source stay as they were read for it.
    """

    def __init__(self, workspace: Workspace, sampled_hash: int | str | None = None, before: Now | None = None) -> None:
        self._workspace, self._sampled, self._before = workspace, sampled_hash, before
        self._found: dict[str, Any] = {}
        self._files: dict[str, Any] = before._files if before is not None else {}

    def with_sample(self, sampled_hash: int | str | None) -> Now:
        """Return the same with another sample."""
        return Now(self._workspace, sampled_hash, self)

    def of(self, workspace: Workspace) -> Now:
        """Return the same of the workspace as it is to be."""
        return self if workspace is self._workspace else Now(workspace, self._sampled, self)

    def tell(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return what is behind each key."""
        for key in keys:
            if key not in self._found or key == CONTENT_FILES:  # a stage that runs meanwhile says which files they are
                self._found[key] = self._one(key)
        return {key: self._found[key] for key in keys}

    def edited(self, keys: Iterable[str]) -> list[Change]:
        """Return what an ingest would read otherwise of what is behind keys: its pipeline was edited since."""
        if self.source.pipeline is None or not self.differing:
            return []
        keys = {"pipeline.source", *keys}
        named = sorted(key for key in keys if key.startswith("pipeline."))
        found = changes(self.tell(named), self._edited.tell(named))
        kept, now = self._workspace.pipeline.shards, self.source.pipeline.shards
        if _N_SHARDS in keys and now not in (kept, self._ingested["n_shards"]):
            found.append(Change("pipeline.shards", kept, now))
        return found

    @cached_property
    def source(self) -> Source:
        """The pipeline as an ingest would read it."""
        return source_now(self._workspace) if self._before is None else self._before.source

    @cached_property
    def differing(self) -> list[str]:
        """Keys of the pipeline that say something else where it was ingested from."""
        if self.source.pipeline is None:
            return []
        mine, its = self._pipeline, self._edited._pipeline
        return sorted(key for key in its if key != "description" and its[key] != mine[key])

    @cached_property
    def _edited(self) -> Now:
        assert self.source.pipeline is not None
        return Now(replace(self._workspace, pipeline=self.source.pipeline), before=self)

    @cached_property
    def _pipeline(self) -> dict[str, Any]:
        return self._workspace.pipeline.model_dump(mode="json")

    @cached_property
    def _project(self) -> Project | None:
        return None if without_project(self._workspace) else self._workspace.project

    @cached_property
    def _ingested(self) -> dict[str, Any]:
        ingested, shards = self._workspace.ingested, self._workspace.pipeline.shards
        return ingested.model_dump(mode="json") | ({} if shards == "auto" else {"n_shards": shards})

    def _one(self, key: str) -> Any:
        section, _, rest = key.partition(".")
        if key == SPLITS_FILE:
            return self._splits()
        if key == CONTENT_FILES:
            return self._content_files()
        if key == SAMPLED:
            return (UNKNOWN if self._sampled is None else self._sampled) if self._by_number else None
        if key == GONE_ON_FROM:
            basis = self._workspace.basis
            return basis.record.known if basis is not None and basis.record is not None else None
        if key == OPTED_OUT:
            who = self._workspace.opted_out
            return who.known if who is not None else None
        if section == "ingest":
            return self._ingested[rest]
        if section != "pipeline":
            if key not in self._files:
                self._files[key] = UNKNOWN if self._project is None else of_file(key, self._project)
            return self._files[key]
        group, _, name = rest.partition(".")
        if group == "parameters":
            return self._workspace.pipeline.values.get(name)
        if group == "csv":
            return self._workspace.pipeline.csv_of(name).model_dump(mode="json")
        if group == "members":
            return next((one for one in self._pipeline[group] if one["table"] == name), None)
        if group == "sample_from":
            return self._pipeline[group] if self._by_number else None
        first, _, each = rest.partition(".*.")
        value = self._pipeline[first]
        return {n: one[each] for n, one in sorted(value.items()) if one[each] is not None} if each else value

    @property
    def _by_number(self) -> bool:
        return str(self._ingested["sample"]).isdecimal()

    def _content_files(self) -> str:
        """They lie among raw tables; how large each is and when it was written tells, for to read all takes long."""
        root, folder = self._workspace.raw_root, home_of(self._workspace.root, IMAGES) / folder_of(IMAGES)
        if root is None or not root.is_dir():
            return UNKNOWN
        files = sorted(folder.glob("*.parquet"))
        known = f"{CONTENT_FILES} {[stamp(file) for file in files]}"  # looked at once, as long as staging is the same
        if known in self._files:
            return str(self._files[known])
        try:
            names = {name for file in files for name in read_parquet(file, ["path"])["path"].to_pylist()}
        except TawtError:  # whoever reads it for its own sake says more
            return UNKNOWN
        return self._files.setdefault(known, digest([(name, *stated(root, name)) for name in sorted(names - {None})]))

    def _splits(self) -> str | None:
        """The file of splits lies among raw tables, which another machine may lack."""
        name, root = self._workspace.pipeline.splits.file, self._workspace.raw_root
        if name is None:
            return None
        if not (Path(name).is_absolute() or (root is not None and root.is_dir())):
            return UNKNOWN
        path = (root or Path()) / name
        return sha256_file(path) if path.is_file() else ABSENT


@dataclass(frozen=True)
class Change:
    """A key behind which is something else than before."""

    key: str
    before: Any
    now: Any

    @property
    def came(self) -> list[str]:
        """Stages of a folder that are new in it."""
        return self._stages(self.now, self.before)

    @property
    def went(self) -> list[str]:
        """Stages of a folder that are gone from it."""
        return self._stages(self.before, self.now)

    def _stages(self, names: Any, less: Any) -> list[str]:
        if not self.key.endswith("/"):
            return []
        return [f"{self.key.split('/')[-2]}.{name}" for name in sorted({*(names or ())} - {*(less or ())})]

    @property
    def detail(self) -> str:
        """What is another in a value of the pipeline or of an ingest, as far down as it has names."""
        found = [_said(*one) for one in _leaves(self.key.partition(".")[2], self.before, self.now)]
        return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")

    def __str__(self) -> str:
        if self.key.endswith("/"):
            return ", ".join([*(f"{one} is new" for one in self.came), *(f"{one} is gone" for one in self.went)])
        section, path = self.key.partition(".")[0], self.key.split("/")
        if self.key == SAMPLED:
            return "the sample is of other subjects"
        if self.key == OPTED_OUT:
            return "others have opted out"
        if self.key == GONE_ON_FROM:
            return "the vocabulary is to go on from another one" if self.now else "the vocabulary is to stand by itself"
        if self.key == CONTENT_FILES:
            return "input changed: files of raw.images"
        if self.key == SPLITS_FILE:
            return "the file of splits changed"
        if section in ("pipeline", "ingest"):
            return f"parameter {self.detail.removeprefix('parameters.')}"
        name = Path(path[-1]).stem
        if path[-2] == "macros":
            return f"macro {name} changed"
        if path[-2] == "seeds":
            return f"seed {name} changed"
        if path[0] == "schemas":
            return f"contract of raw.{name} changed" if len(path) == 3 else "contract changed"
        return "sql changed"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return what is another, key by key; what cannot be looked at is none of it."""
    keys = [key for key in (*now, *(k for k in before if k not in now)) if before.get(key) != now.get(key)]
    found = [Change(key, before.get(key), now.get(key)) for key in keys]
    return [one for one in found if one.key.startswith("pipeline.") or UNKNOWN not in (one.before, one.now)]


def _leaves(name: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield what differs in two values, as far down as both have names."""
    if isinstance(before, dict) and isinstance(now, dict):
        head, star, tail = name.partition("*")
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                yield from _leaves(f"{head}{key}{tail}" if star else f"{name}.{key}", before.get(key), now.get(key))
    else:
        yield name, before, now


def _said(name: str, before: Any, now: Any) -> str:
    texts = [_word(one) for one in (before, now)]
    return f"{name} {texts[0]} -> {texts[1]}" if max(map(len, texts)) <= _LONGEST else f"{name} changed"


def _word(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return f"[{', '.join(value)}]"
    return "none" if value is None else str(value)
