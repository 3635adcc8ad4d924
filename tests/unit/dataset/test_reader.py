"""The dataset reader: what it maps, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tawt.dataset import reader, shard
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError, DatasetError
from tawt.files import stamp, touched, write_sealed
from tawt.readers import read_map

COLUMNS = ("timestamp", "data_type", "value", "value_token", "value_status", "available_time")


def mappings(path: Path) -> list[tuple[int, int]]:
    """Address ranges at which this process maps a file, as the kernel tells."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            low, high = re.match(r"([0-9a-f]+)-([0-9a-f]+)", line).groups()
            ranges.append((int(low, 16), int(high, 16)))
    return ranges


def test_every_subject_comes_back_as_written(tmp_path, write_dataset):
    """Each subject's columns, statics and origin equal what was written, through all shards."""
    made = write_dataset(tmp_path, {"train": [7, 0, 5], "tuning": [3]})
    split = open_dataset(tmp_path).split("train")
    number = 0
    for columns, index in made["train"]:
        for i, subject in enumerate(index["subject_id"]):
            rows = slice(index["start"][i], index["start"][i] + index["length"][i])
            got = split.columns(number)
            for name in COLUMNS:
                np.testing.assert_array_equal(getattr(got, name), columns[name][rows])
            assert split.subject_ids[number] == subject
            assert split.n_static[number] == index["n_static"][i]
            assert split.origins[number] == index["origin"][i]
            assert split.lengths[number] == index["length"][i]
            number += 1
    assert (split.n_subjects, split.n_triplets) == (number, sum(len(c["value"]) for c, _ in made["train"]))
    assert number == 12


def test_nothing_is_copied(tmp_path, write_dataset):
    """Every view of every subject lies inside the kernel's mapping of its shard, and cannot be written to."""
    write_dataset(tmp_path, {"train": [6, 4]})
    split = open_dataset(tmp_path).split("train")
    for i in range(split.n_subjects):
        ranges = mappings(tmp_path / "dataset" / "train" / f"{split.shard[i]:05d}.arrow")
        assert ranges
        for name in COLUMNS:
            view = getattr(split.columns(i), name)
            low, high = np.lib.array_utils.byte_bounds(view)
            assert any(a <= low and high <= b for a, b in ranges)
            assert not view.flags.writeable


def test_mappings_end_with_the_split(tmp_path, write_dataset):
    """A shard stays mapped while a view of it lives, and no longer."""
    write_dataset(tmp_path, {"train": [4]})
    path = tmp_path / "dataset" / "train" / "00000.arrow"
    split = open_dataset(tmp_path).split("train")
    view = split.columns(0).value
    del split
    assert mappings(path)
    del view
    assert not mappings(path)


def test_many_shards_need_no_open_files(tmp_path, write_dataset):
    """More shards than the process may open files are all mapped at once."""
    write_dataset(tmp_path, {"train": [1] * 300}, median_length=3, max_static=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = sum(1 for _ in Path("/proc/self/fd").iterdir()) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        split = open_dataset(tmp_path).split("train")
        assert sum(len(split.columns(i).value) for i in range(300)) == split.n_triplets
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert limit < 300


RSS = """
import sys
from pathlib import Path
import numpy as np
from tawt.dataset.reader import open_dataset

def anonymous():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon")) / 1024

dataset = open_dataset(Path(sys.argv[1]))
before = anonymous()
split = dataset.split("train")
touched = sum(float(c.value.max()) + int(c.timestamp.max()) + int(c.data_type.max()) for c in split.shards)
print(split.n_triplets, anonymous() - before, touched)
"""


class SparseFile:
    """A file that leaves a hole where zeros are written."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.closed = False

    def write(self, data) -> int:
        data = memoryview(data)
        if len(data) > 4096 and not np.frombuffer(data, np.uint8).any():
            self.file.seek(len(data), os.SEEK_CUR)
            self.file.truncate()
        else:
            self.file.write(data)
        return len(data)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()
        self.closed = True


def write_sparse(workspace: Path, shards, n_rows: int) -> None:
    """A dataset of one subject with `n_rows` triplets that are all zero, in a file that holds no data blocks."""
    folder = workspace / "dataset" / "train"
    folder.mkdir(parents=True)
    zeros = {f.name: np.zeros(n_rows, f.type.to_pandas_dtype()) for f in shards.contract("dataset").arrow_schema()}
    index = {"subject_id": [0], "start": [0], "length": [n_rows], "n_static": [0], "origin": [0]}
    sink = pa.PythonFile(SparseFile(folder / "00000.arrow"), mode="w")
    entry = shards.write_shard(folder, "00000", zeros, index, sink)
    sink.close()
    path = folder / "00000.arrow"
    entry["n_bytes"] = path.stat().st_size
    if entry["n_bytes"] <= reader.SMALL_BYTES:  # a larger one is not read to be opened
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    shards.write_manifest(workspace, shards.write_vocabulary(workspace), {"train": [entry]})


def test_memory_does_not_grow_with_the_dataset(tmp_path, shards):
    """Touching a hundred times as many triplets, 370 MB of them, adds no memory of the process's own."""
    grown = {}
    for n_rows in (100_000, 10_000_000):
        workspace = tmp_path / str(n_rows)
        write_sparse(workspace, shards, n_rows)
        run = subprocess.run(
            [sys.executable, "-c", RSS, str(workspace)],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        n_triplets, megabytes, _ = map(float, run.stdout.split())
        assert n_triplets == n_rows
        grown[n_rows] = megabytes
    assert (tmp_path / "10000000" / "dataset" / "train" / "00000.arrow").stat().st_size > 360e6
    assert grown[10_000_000] < grown[100_000] + 8


def refusal(workspace: Path) -> str:
    """Open the train split and return with which error it is refused, and the command that mends it; else nothing."""
    try:
        open_dataset(workspace).split("train")
    except DatasetError as error:
        return f"{error} | {error.hint}"
    return ""


MENDED_BY = "tawt build-vocab -w"


def edit_manifest(workspace: Path, change) -> None:
    path = workspace / "dataset" / "dataset.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    write_sealed(path, manifest)


def test_a_missing_dataset_is_refused(tmp_path):
    """A workspace without a dataset names dataset.json and the command that makes it; what is none is ingested first."""
    with pytest.raises(ConfigError, match="holds nothing of a workspace"):
        open_dataset(tmp_path)
    (tmp_path / "runs").mkdir()
    assert f"{tmp_path}: has no dataset/dataset.json" in (said := refusal(tmp_path)) and "tawt ingest RAW_DIR" in said
    (tmp_path / "pipeline.yaml").write_text("")
    said = refusal(tmp_path)
    assert "dataset.json" in said and "is not there" in said and f"{MENDED_BY} {tmp_path}" in said


def test_a_manifest_without_its_seal_is_refused(tmp_path, write_dataset):
    """A manifest that is whole but for its seal, as one that was written by hand, says how to make it anew."""
    write_dataset(tmp_path, {"train": [2]})
    path = tmp_path / "dataset" / "dataset.json"
    path.write_text(json.dumps(read_map(path)))
    said = refusal(tmp_path)
    assert (
        "dataset.json: is not as it was written (it has no seal), expected" in said
        and f"tawt run dataset -w {tmp_path} --force" in said
    )


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "tawt.dataset/2"}'])
def test_a_broken_manifest_is_refused(tmp_path, write_dataset, text):
    """A dataset.json that is empty, cut off, or lacks a key is refused, with what makes it whatever is there."""
    write_dataset(tmp_path, {"train": [2]})
    (tmp_path / "dataset" / "dataset.json").write_text(text)
    said = refusal(tmp_path)
    assert "dataset.json" in said and ", expected " in said and f"tawt run dataset -w {tmp_path} --force" in said


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("format", "tawt.dataset/1", "format"),
        ("contract", "0123456789abcdef", "contract"),
        ("vocabulary", "0" * 64, "vocabulary"),
        ("time_origin", "noon", "time_origin"),
        ("origin_time", "birth", "origin_time"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(tmp_path, write_dataset, key, value, word):
    """Another format, contract, vocabulary or time origin, and a key that is none, is refused by name."""
    write_dataset(tmp_path, {"train": [2]})
    edit_manifest(tmp_path, lambda manifest: manifest.update({key: value}))
    said = refusal(tmp_path)
    assert word in said and MENDED_BY in said


def test_a_shard_name_cannot_leave_the_dataset(tmp_path, write_dataset):
    """A manifest whose shard name climbs out of its folder is refused."""
    write_dataset(tmp_path, {"train": [2]})
    edit_manifest(tmp_path, lambda manifest: manifest["splits"]["train"][0].update(shard="../tuning/00000"))
    said = refusal(tmp_path)
    assert "`splits` does not fit" in said and MENDED_BY in said


def test_an_unknown_split_is_refused_with_the_nearest(tmp_path, write_dataset):
    """A misspelt split suggests the one that is there."""
    write_dataset(tmp_path, {"train": [2], "held_out": [1]})
    with pytest.raises(DatasetError, match="no split `heldout`") as caught:
        open_dataset(tmp_path).split("heldout")
    assert "`held_out`" in caught.value.hint


@pytest.mark.parametrize("suffix", [".arrow", ".index.arrow"])
@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "text"])
def test_a_damaged_file_is_refused(tmp_path, write_dataset, suffix, damage):
    """A shard or index that is absent, empty, cut off or not Arrow is refused by name, at opening."""
    write_dataset(tmp_path, {"train": [5]})
    path = tmp_path / "dataset" / "train" / f"00000{suffix}"
    whole = path.read_bytes()
    path.unlink()
    if damage != "absent":
        path.write_bytes({"empty": b"", "cut": whole[:-20], "text": b"x" * len(whole)}[damage])
    said = refusal(tmp_path)
    assert path.name in said and MENDED_BY in said


def test_a_shard_of_another_size_is_refused(tmp_path, write_dataset):
    """A whole shard that is not as large as the manifest says, as after a mixed copy of two builds, is refused."""
    write_dataset(tmp_path, {"train": [5]})
    edit_manifest(tmp_path, lambda manifest: manifest["splits"]["train"][0].update(n_bytes=12345))
    said = refusal(tmp_path)
    assert "00000.arrow" in said and "bytes, expected 12345" in said and MENDED_BY in said


def test_no_flipped_byte_ends_the_process(tmp_path, write_dataset):
    """A shard with any part of its metadata overwritten is refused, or read where it was listed so, and never crashes the
    reader."""
    write_dataset(tmp_path, {"train": [5]})
    path = tmp_path / "dataset" / "train" / "00000.arrow"
    whole = path.read_bytes()
    outcomes = set()
    for at in [*range(8, 900, 23), *range(len(whole) - 900, len(whole), 23)]:
        path.write_bytes(flipped := whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        known = hashlib.sha256(flipped).hexdigest()
        edit_manifest(tmp_path, lambda manifest, known=known: manifest["splits"]["train"][0].update(sha256=known))
        try:
            split = open_dataset(tmp_path).split("train")
            outcomes.add("read" if split.n_triplets else "empty")
        except DatasetError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_a_mistake_of_ours_is_not_told_as_the_shards(tmp_path, write_dataset, monkeypatch):
    """An error that does not come from the bytes of a shard or its index stays what it is."""
    write_dataset(tmp_path, {"train": [5]})
    for index in (False, True):

        def wrong(contract, schema, where, index=index):
            if where.endswith(".index.arrow") == index:
                raise KeyError("ours")

        monkeypatch.setattr(shard, "check_schema", wrong)
        with pytest.raises(KeyError, match="ours"):
            open_dataset(tmp_path).split("train")


def rewrite(path: Path, change, **options) -> int:
    """Write an Arrow file anew after a change to its table; return its size."""
    with pa.OSFile(str(path)) as file:
        table = change(pa.ipc.open_file(file).read_all())
    with pa.ipc.new_file(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return path.stat().st_size


def recast(name: str, dtype: pa.DataType):
    """Return a change that gives a column another type."""
    return lambda t: t.set_column(t.schema.get_field_index(name), name, t.column(name).cast(dtype))


def nulled(name: str):
    """Return a change that makes a column null."""
    return lambda t: t.set_column(t.schema.get_field_index(name), name, pa.nulls(len(t), t.schema.field(name).type))


def replaced(name: str, make):
    """Return a change that computes a column anew from its numbers."""
    return lambda t: t.set_column(
        t.schema.get_field_index(name), t.schema.field(name), pa.array(make(t.column(name).to_numpy().copy()))
    )


@pytest.mark.parametrize(
    ("change", "options", "word"),
    [
        (lambda t: t.drop_columns(["value_status"]), {}, "`value_status` is missing"),
        (recast("value", pa.float64()), {}, "`value` is double"),
        (nulled("value"), {}, "nulls"),
        (lambda t: t, {"compression": "lz4"}, "compressed"),
        (lambda t: pa.concat_tables([t.slice(0, 3), t.slice(3)]), {}, "2 record batches"),
        (lambda t: t.slice(1).combine_chunks(), {}, "rows"),
    ],
)
def test_a_shard_of_another_shape_is_refused(tmp_path, write_dataset, change, options, word):
    """A shard that lacks a column, has another type, a null, a compressed buffer, two batches or fewer rows is refused."""
    write_dataset(tmp_path, {"train": [5]})
    size = rewrite(tmp_path / "dataset" / "train" / "00000.arrow", change, **options)
    edit_manifest(tmp_path, lambda manifest: manifest["splits"]["train"][0].update(n_bytes=size))
    said = refusal(tmp_path)
    assert "00000.arrow" in said and word in said and MENDED_BY in said


def shift_last(numbers: np.ndarray) -> np.ndarray:
    numbers[-1] += 1
    return numbers


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (recast("start", pa.int32()), "`start` is int32"),
        (nulled("origin"), "null"),
        (lambda t: t.slice(1), "subjects, expected 5"),
        (replaced("start", shift_last), "end to end"),
        (replaced("length", shift_last), "end to end"),
        (replaced("length", lambda x: -x), "end to end"),
        (replaced("n_static", lambda x: x + 10_000), "n_static"),
        (replaced("n_static", lambda x: x - 10_000), "n_static"),
        (replaced("subject_id", lambda x: x[::-1]), "out of order"),
        (replaced("subject_id", lambda x: x * 0), "out of order"),
    ],
)
def test_an_index_that_does_not_fit_its_shard_is_refused(tmp_path, write_dataset, change, word):
    """An index of another schema, or that does not tile its shard subject by subject, is refused."""
    write_dataset(tmp_path, {"train": [5]})
    rewrite(tmp_path / "dataset" / "train" / "00000.index.arrow", change)
    said = refusal(tmp_path)
    assert "00000.index.arrow" in said and word in said and MENDED_BY in said


def test_a_split_without_shards_is_empty(tmp_path, write_dataset):
    """A split that got no subject opens, with none."""
    write_dataset(tmp_path, {"train": [2], "tuning": []})
    split = open_dataset(tmp_path).split("tuning")
    assert (split.n_subjects, split.n_triplets) == (0, 0)


def test_a_fingerprint_is_of_every_row(tmp_path, write_dataset, shards):
    """Of two datasets that differ in one moment of one row, of whatever place in a long shard, fingerprints differ; of equal
    ones, whose files are others, they are equal."""
    made = write_dataset(tmp_path, {"train": [40, 1]}, lengths=[50] * 41)["train"]
    fingerprint = open_dataset(tmp_path).split("train").fingerprint()
    folder, (columns, index) = tmp_path / "dataset" / "train", made[0]
    manifest = json.loads((tmp_path / "dataset" / "dataset.json").read_text())
    for row in (0, 777, 1998, None):
        changed = {name: column.copy() for name, column in columns.items()}
        if row is not None:
            changed["available_time"][row] += 1
        entries = [shards.write_shard(folder, "00000", changed, index), manifest["splits"]["train"][1]]
        shards.write_manifest(tmp_path, manifest["vocabulary"], {"train": entries})
        assert (open_dataset(tmp_path).split("train").fingerprint() == fingerprint) == (row is None)


@pytest.mark.parametrize("name", ["00000.arrow", "00000.index.arrow"])
@pytest.mark.parametrize("small", [True, False])
def test_what_was_written_to_since_it_was_made_is_refused(tmp_path, write_dataset, monkeypatch, name, small):
    """A shard or index in which a bit was flipped, with the time of writing set back, is refused when it is opened, large
    ones too; the hint is what makes it again."""
    write_dataset(tmp_path, {"train": [20, 1]})
    monkeypatch.setattr(reader, "SMALL_BYTES", 1 << 20 if small else 0)
    path = tmp_path / "dataset" / "train" / name
    before, content = path.stat(), bytearray(path.read_bytes())
    table = pa.ipc.open_file(pa.BufferReader(bytes(content))).read_all()
    column = table["value" if "index" not in name else "origin"].chunk(0).buffers()[1].to_pybytes()
    content[content.index(column[:64])] ^= 1
    while touched(stamp(path)) <= touched(stamp(tmp_path / "dataset" / "dataset.json")):  # a clock that ticks slowly
        path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DatasetError, match="is not as it was written") as error:
        open_dataset(tmp_path).split("train")
    assert error.value.where == str(path) and "tawt run dataset" in error.value.hint and "--force" in error.value.hint


def test_what_was_touched_is_read_again_and_what_was_replaced_stays(tmp_path, write_dataset):
    """A mapped shard may be touched, or another may come into its place: what is mapped is what was opened. One that is
    written to in place, or cut off, is not: before or after another came into its place."""
    write_dataset(tmp_path, {"train": [20]})
    path = tmp_path / "dataset" / "train" / "00000.arrow"
    split, whole = open_dataset(tmp_path).split("train"), path.read_bytes()
    split.hold()
    path.chmod(0o600)
    split.hold()
    for end in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-8]):
        split = open_dataset(tmp_path).split("train")
        other = path.with_name("other")
        other.write_bytes(whole)
        other.replace(path)
        split.hold()
        split = open_dataset(tmp_path).split("train")
        with path.open("r+b") as file:
            file.write(end)
            file.truncate()
        with pytest.raises(DatasetError, match=r"is not as it was written|was cut off"):
            split.hold()
        other.write_bytes(whole)
        other.replace(path)
        if len(end) == len(whole):
            with pytest.raises(DatasetError, match="is not as it was written"):
                split.hold()
