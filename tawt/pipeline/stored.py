"""A workspace in an object store, which machines that share nothing else make together.

Each has a folder of its own that holds what it made, and what it needed of others. A stage is sent file by file, its
manifest last; who needs it brings it, each file held to the hash that the manifest lists. So an object is whole or of
no use, nothing is locked, and what two do at once is the same.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path

from tawt.contracts.layers import PASSING, STAGE
from tawt.errors import FileError
from tawt.files import ASIDE, keep_private, sealed
from tawt.pipeline.board import Board
from tawt.pipeline.commit import commit
from tawt.pipeline.common import SHARES, handed_in, mark_share
from tawt.pipeline.each_shard import DONE, HANDED_IN, KEPT, read_handed_in
from tawt.pipeline.letting_go import lacks, let_go, without_files
from tawt.pipeline.manifest import Manifest, manifest_at, read_manifest
from tawt.pipeline.of_store import remember_alike
from tawt.pipeline.plan import Plan
from tawt.pipeline.presence import PARTS, Part
from tawt.pipeline.records_there import hold_prepared, send_records
from tawt.pipeline.step import Step
from tawt.pipeline.workspace import OF_STAGES, Workspace, beside, folder_of, manifest_path, open_workspace
from tawt.places import remove
from tawt.raw.beside import IMAGES
from tawt.seals import sha256_file
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.stores import Store, each

_MANIFEST = re.compile(rf"manifests/(?P<stage>{STAGE})\.json")
_SUBJECTS = "subjects"
_LOOKED_INTO = (_SUBJECTS, IMAGES)
"""Stages that plans are made by: they are always brought here."""
_OF_TABLES = ("staging", "links", "codes", "event_parts")
"""Layers whose stages go with their tables and selects."""


class BoardInStore:
    """Objects that all see, each as soon as it is written.

    Args:
        store: Where.
    """

    beat_seconds, still_seconds = 3.0, 60.0

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, name: str) -> bytes:
        return self._store.read(f"{ASIDE}/{PARTS}/{name}") or b""

    def take(self, name: str, said: bytes, before: bytes) -> bool:
        """Write, and see whether another has written since: stores agree on nothing better."""
        self.write(name, said)
        time.sleep(self.beat_seconds / 10)
        return self.read(name) == said

    def write(self, name: str, said: bytes) -> None:
        self._store.write(f"{ASIDE}/{PARTS}/{name}", said)

    def remove(self, name: str) -> None:
        self._store.remove([f"{ASIDE}/{PARTS}/{name}"])

    def names(self) -> list[str]:
        """Return under which names anybody tells of itself."""
        return [name.rpartition("/")[2] for name in self._store.names(f"{ASIDE}/{PARTS}")]


class Stored:
    """What those who make a workspace have in common in a store.

    Args:
        root: The folder of this one alone.
        store: Where the workspace is.
        say: Hears what is found that is not as it should be.
    """

    longest_poll_seconds = 5.0

    def __init__(self, root: Path, store: Store, say: Callable[[str], None]) -> None:
        self.root, self.store, self._say = root, store, say
        self.board: Board = BoardInStore(store)
        self._known: dict[str, tuple[bytes, Manifest | None]] = {}
        self._sent = set[str]()  # shards that were handed in
        self._sending = threading.Lock()

    @cached_property
    def _here(self) -> Workspace:
        return open_workspace(self.root)

    def there(self, graph: Graph) -> Mapping[str, Manifest | None]:
        there = {one.stage: one for one in self.finished() if one.stage in graph.stages}
        self.bring(_LOOKED_INTO, there)
        return there

    def finished(self) -> list[Manifest]:
        """Return all stages that are finished there."""
        found = [_MANIFEST.fullmatch(name) for name in self.store.names("manifests")]
        names = [one["stage"] for one in found if one is not None]
        return [manifest for manifest in each(names, self._manifest) if manifest is not None]

    @property
    def torn(self) -> list[str]:
        """Which stages that were looked at have a manifest there that is not as it was written."""
        return sorted(name for name, (_, manifest) in self._known.items() if manifest is None)

    def hold(self, plan: Plan) -> None:
        hold_prepared(self.store, plan)

    def forget_left(self, part: Part) -> None:
        """Its folder is another's, or was emptied when it was held."""

    def as_now(self, step: Step) -> Step:
        """What was made here, and could not be sent then, is sent now."""
        name = step.stage.name
        there, here = self._manifest(name), read_manifest(self._here, name)
        for manifest in (there, here):
            if manifest is not None and step.as_of(manifest).reason is None:
                found = self.made(manifest) if manifest is here else manifest
                if name in _LOOKED_INTO:
                    self.bring([name], {name: found})
                return step.as_of(found)
        return step.as_of(there)

    def bring(self, stages: Collection[str], there: Mapping[str, Manifest]) -> None:
        for manifest in (there[name] for name in stages if name in there):
            if lacks(read_manifest(self._here, manifest.stage), manifest):
                self._bring(manifest)

    def made(self, manifest: Manifest, anew: bool = False) -> Manifest:
        name, before = manifest.stage, self._manifest(manifest.stage)
        if before is not None and before.fingerprint == manifest.fingerprint and not (anew or before.let_go):
            return before  # another process did the same at once: the first counts
        listed = f"manifests/{name}.json"
        known = before.hashes_here if before is not None else {}
        self.store.remove([listed])
        to_send = [file for file, sha256 in manifest.hashes_here.items() if anew or known.get(file) != sha256]
        each(to_send, lambda file: self.store.put(self.root / file, file, name == _SUBJECTS))
        self.store.write(listed, manifest_path(self.root, name).read_bytes())
        left = [file for file in self.store.names(folder_of(name)) if file not in manifest.files]
        left += [file for file in beside(name) if file in known and file not in manifest.files]
        self.store.remove([*left, *self._handed_in(name)])
        remember_alike(self.root, [manifest])
        return manifest

    def shares(self, step: Step, n: int) -> set[int]:
        there = {name.rpartition("/")[2] for name in self.store.names(f"{handed_in(step)}/{SHARES}")}
        return {i for i in range(1, n + 1) if Part(i, n).name in there}

    def begin_share(self, step: Step) -> Callable[[], None]:
        """Shards that this part, or who was it before, has handed in already are not made again."""
        root, place = self.root, handed_in(step)
        there = self.store.names(f"{place}/{DONE}")
        self._sent |= {*there}
        for name in there:
            self._get(name)
        for marker in (root / place / DONE).glob("*.json"):
            name, data = marker.relative_to(root).as_posix(), read_handed_in(marker)
            is_sent = name in self._sent
            if data is None or not (is_sent or all((root / place / file).is_file() for file in data["files"])):
                marker.unlink()
                self._sent.discard(name)
        return lambda: self._send(place)

    def end_share(self, step: Step, part: Part) -> None:
        place = handed_in(step)
        self._send(place)
        mark_share(self.root, step, part)
        self.store.write(f"{place}/{SHARES}/{part.name}", b"whole\n")

    def bring_shares(self, step: Step) -> None:
        root, place = self.root, handed_in(step)
        for name in self.store.names(f"{place}/{DONE}"):
            self._get(name)
        for marker in (root / place / DONE).glob("*.json"):
            data = read_handed_in(marker)
            whole = data is not None and all(
                each(data["files"].items(), lambda one: self._is_here(f"{place}/{one[0]}", one[1]))
            )
            if not whole:
                what = f"what was handed in of {step.stage.name} ({marker.stem}) is not as it was written"
                self._say(f"{what}: it is made again")
                marker.unlink()

    def let_go(self, manifest: Manifest) -> Manifest:
        here, listed = read_manifest(self._here, manifest.stage), without_files(manifest)
        if here is not None and here.hashes == manifest.hashes:
            let_go(self._here, here)
        self.store.write(f"manifests/{manifest.stage}.json", sealed(listed.model_dump(mode="json")).encode())
        return listed

    def close(self, plan: Plan) -> None:
        kept, layers, finished = plan.graph.stages, _OF_TABLES, self.finished()
        self.forget([m for m in finished if m.stage not in kept and m.stage.partition(".")[0] in layers])
        left = {file for one in finished for file in one.let_go}  # of a close that was killed, too
        self.store.remove([name for one in PASSING for name in self.store.names(one) if name in left] if left else [])
        send_records(self.store, self.root)

    def sweep(self) -> None:
        """Remove what no finished stage lists, while nobody is at work: a kill left it, and people may be in it."""
        finished = self.finished()
        listed = {file for one in finished for file in (*one.files, f"manifests/{one.stage}.json")}
        there = [name for folder in (*OF_STAGES, ASIDE) for name in self.store.names(folder)]
        self.store.remove(name for name in there if name not in listed and not name.startswith(f"{ASIDE}/{PARTS}/"))

    def forget(self, gone: Collection[Manifest]) -> None:
        """Take stages out, the manifest first."""
        self.store.remove([f"manifests/{one.stage}.json" for one in gone])
        self.store.remove([file for one in gone for file in one.files])

    def _manifest(self, name: str) -> Manifest | None:
        content = self.store.read(f"manifests/{name}.json")
        if content is None:
            self._known.pop(name, None)
            return None
        if name not in self._known or self._known[name][0] != content:
            aside = self.root / ASIDE / f"{name}.json"
            aside.parent.mkdir(exist_ok=True)
            aside.write_bytes(content)
            manifest = manifest_at(aside, name)
            aside.unlink()
            if manifest is None:
                self._say(
                    f"{self.store.place(f'manifests/{name}.json')} is not as it was written: {name} does not count"
                )
            self._known[name] = content, manifest
        return self._known[name][1]

    def _bring(self, manifest: Manifest) -> None:
        name, own = manifest.stage, self._here
        folder, (quarantine, shards) = own.aside / name, beside(name)
        places = {file: folder / Path(file).relative_to(folder_of(name)) for file in manifest.files
                  if file not in (quarantine, shards)}  # fmt: skip
        places |= {quarantine: own.aside / f"{name}.quarantine.parquet", shards: folder / KEPT}
        remove(folder)
        folder.mkdir(parents=True)

        def one(file: str) -> None:
            place = places[file]
            place.parent.mkdir(parents=True, exist_ok=True)
            if name == _SUBJECTS:  # the way back to people
                place.touch()
                keep_private(place, own.root / file)
            found = self.store.get(file, place)
            if not found or sha256_file(place) != manifest.hashes[file]:
                raise FileError(
                    self.store.place(file),
                    f"is not {'as it was written' if found else 'there'}, expected what {name} wrote",
                    f"`{command('run', name, workspace=own.root, store=self.store.url, force=True)}` makes it again",
                )

        each(manifest.files, one)
        if name == _SUBJECTS:
            keep_private(folder, own.output(name))
        commit(own, folder, places[quarantine] if quarantine in manifest.files else None, manifest)
        remember_alike(own.root, [manifest])

    def _get(self, name: str) -> None:
        """Bring an object that is not here yet."""
        path = self.root / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f".{path.name}.tmp")
            if self.store.get(name, aside):
                aside.replace(path)

    def _is_here(self, name: str, sha256: str) -> bool:
        """Bring a shard that was handed in, and return whether it is as it was written."""
        path = self.root / name
        if path.is_file() and sha256_file(path) != sha256:
            path.unlink()
        self._get(name)
        return path.is_file() and sha256_file(path) == sha256

    def _send(self, place: str) -> None:
        """Send shards that were handed in here since."""
        root = self.root
        with self._sending:
            for marker in sorted((root / place / DONE).glob("*.json")):
                name, data = marker.relative_to(root).as_posix(), read_handed_in(marker)
                if name in self._sent or data is None:
                    continue
                each(data["files"], lambda file: self.store.put(root / place / file, f"{place}/{file}"))
                self.store.put(marker, name)
                self._sent.add(name)

    def _handed_in(self, stage: str) -> list[str]:
        """Return what was handed in of a stage."""
        places = [name for name in self.store.names(ASIDE) if name.startswith(f"{ASIDE}/{stage}-")]
        return [name for name in places if name.split("/")[1].endswith(HANDED_IN)]
