"""Embeddings at any time: one per prediction time or event, whom they leave out, and what a killed command goes on from."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.commands import embed as module
from tawt.commands.embed import embed
from tawt.commands.plot import plot
from tawt.contracts.embeddings import parts_folder
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError
from tawt.files import write_parquet
from tawt.quality.runs import check_embeddings, made_by
from tawt.quality.strangers import Known, strangers
from tawt.runs.embedder import TawtEmbedder
from tawt.runs.embedding import Embedding
from tawt.runs.embedding_file import write_embeddings
from tawt.runs.embedding_parts import Parts, as_lists
from tawt.runs.find import find_run
from tawt.seals import sha256_file

HOUR = 3_600_000_000


def ends(workspace):
    """Subjects, and when all of them was known."""
    dataset, rows = open_dataset(workspace), []
    for split in map(dataset.split, dataset.split_names):
        for i in np.flatnonzero(split.lengths):
            columns = split.columns(int(i))
            known = max(columns.available_time.max(), columns.timestamp[-1])
            rows.append((int(split.subject_ids[i]), int(split.origins[i] + known)))
    return rows


def write_labels(workspace, rows, name="task", **columns):
    """A label set of (subject, us)."""
    subject, time = zip(*rows, strict=True)
    table = {"subject_id": pa.array(subject, pa.int64()), "prediction_time": pa.array(time, pa.timestamp("us"))}
    (workspace / "labels" / name).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table | columns), workspace / "labels" / name / "labels.parquet")


def read(path):
    table = pq.read_table(path, partitioning=None)
    vectors = np.array(table["embedding"].to_pylist(), dtype=np.float32)
    return table["subject_id"].to_numpy(), table["time"].cast("int64").to_numpy(), vectors, table


def test_a_row_per_prediction_time(make_run, workspace):
    """When all was known, a subject is what `embed` makes of it without labels, and earlier another; rows of whom nothing was
    known, or whom there is not, are counted."""
    make_run("a")
    rows = ends(workspace)
    order = np.random.default_rng(0).permutation(2 * len(rows))
    asked = [(rows + [(s, t - 30 * HOUR) for s, t in rows])[i] for i in order]
    asked += [(rows[0][0], rows[0][1] - 10**15), (-7, 0), asked[0]]
    write_labels(workspace, asked)
    told = embed(workspace, "a", labels="task", device="cpu", dry_run=True)
    assert not (workspace / "embeddings").exists()
    assert embed(workspace, "a", labels="task", device="cpu") == told
    assert told.path == workspace / "embeddings" / "a" / "task.parquet"
    subject, time, vectors, table = read(told.path)
    assert table.column_names == ["subject_id", "time", "split", "row", "embedding"]
    assert [asked[i] for i in table["row"].to_pylist()] == list(zip(subject.tolist(), time.tolist(), strict=True))
    assert np.array_equal(np.lexsort((time, subject)), np.arange(len(subject))) and len(subject) == told.n_rows
    assert told.n_outside == 1 and told.n_rows + told.n_unseen == len(asked) - 2 and told.n_unseen >= 1
    whole = dict(zip(*read(embed(workspace, "a", device="cpu").path)[::2][:2], strict=True))
    at = {(s, t): v for s, t, v in zip(subject.tolist(), time.tolist(), vectors, strict=True)}
    assert len(rows) > 100 and np.allclose([at[row] for row in rows], [whole[s] for s, _ in rows], atol=1e-5)
    earlier = [(at[s, t - 30 * HOUR], at[s, t]) for s, t in rows if (s, t - 30 * HOUR) in at]
    assert len(earlier) > 10 and sum(not np.allclose(a, b, atol=1e-3) for a, b in earlier) > 10
    about = table.schema.metadata
    labels = workspace / "labels" / "task" / "labels.parquet"
    assert about[b"labels"].decode() == sha256_file(labels) and about[b"per"] == b"prediction time"
    known = Known()
    assert check_embeddings(workspace, known) == [] and told.path in known.files
    assert made_by(workspace, told.path) == f"tawt embed -w {workspace} --run a --labels task"


def test_a_row_per_event(make_run, workspace):
    """Each moment of a record is a prediction time: the rows are those of a label set that asks at each."""
    make_run("a")
    result = embed(workspace, "a", per="event", splits="train", device="cpu")
    split, rows = open_dataset(workspace).split("train"), []
    for i in range(split.n_subjects):
        timed = split.columns(i).timestamp[split.n_static[i] :].tolist()
        rows += [(int(split.subject_ids[i]), int(split.origins[i]) + t) for t in sorted({*timed})]
    write_labels(workspace, rows)
    by_labels = read(embed(workspace, "a", labels="task", device="cpu").path)
    subject, time, vectors, table = read(result.path)
    assert result.path.name == "per-event.parquet" and "row" not in table.column_names
    assert np.array_equal(subject, by_labels[0]) and np.array_equal(time, by_labels[1])
    assert np.array_equal(vectors, by_labels[2]) and result.n_rows + result.n_unseen == len(rows)
    for per, labels in (("visit", None), ("event", "task")):
        with pytest.raises(ConfigError, match=r"--per .*expected `subject` or `event`"):
            embed(workspace, "a", per=per, labels=labels, device="cpu")


def test_nobody_known_is_a_file_without_rows(make_run, workspace):
    """A label set that asks before every record leaves all out, says so, and makes an empty file."""
    make_run("a")
    write_labels(workspace, [(subject, time - 10**16) for subject, time in ends(workspace)])
    result = embed(workspace, "a", labels="task", device="cpu")
    assert (result.n_rows, result.n_unseen) == (0, len(ends(workspace))) and len(read(result.path)[0]) == 0
    with pytest.raises(ConfigError, match="is no label set"):
        embed(workspace, "a", labels="tusk", device="cpu")
    pq.write_table(pa.table({"subject_id": [1]}), workspace / "labels" / "timeless.parquet")
    with pytest.raises(ConfigError, match="has no column `prediction_time`"):
        embed(workspace, "a", labels="timeless", device="cpu")


@pytest.fixture
def small_parts(make_run, workspace, monkeypatch):
    """A run of which each part of embeddings is one batch, and the names of the batches that went through the model."""
    make_run("a", "batching.max_length=32", "batching.tokens_per_batch=256")
    monkeypatch.setattr(module, "PART_TOKENS", 256)
    embedded, vectors = [], Embedding.vectors

    def count(self, loader, start=0, stop=None):
        embedded.append(f"{loader.split.name}-{start}-{stop}")
        return vectors(self, loader, start, stop)

    monkeypatch.setattr(Embedding, "vectors", count)
    return embedded


def killed(workspace, after, error=KeyboardInterrupt, **options):
    """Embed until some parts are done."""
    left = [after]

    def report(event):
        left[0] -= event["event"] == "embed"
        if not left[0]:
            raise error

    with pytest.raises(error):
        embed(workspace, "a", device="cpu", report=report, **options)


@pytest.mark.parametrize("labels", [None, "task"])
def test_a_killed_one_goes_on_to_the_same_bytes(small_parts, workspace, labels):
    """Parts that are whole are taken, one that is damaged is made again; at the end the file is that of one left alone."""
    write_labels(workspace, [(s, t - 3 * HOUR) for s, t in ends(workspace)])
    path = embed(workspace, "a", labels=labels, device="cpu").path
    alone, n_parts = path.read_bytes(), len(small_parts)
    path.unlink(), small_parts.clear()
    killed(workspace, 5, labels=labels)
    parts = parts_folder(path)
    names = sorted(entry.name for entry in parts.iterdir())
    assert len(names) == 5 and not path.exists() and [*path.parent.iterdir()] == [parts]
    known = Known()
    assert check_embeddings(workspace, known) == [] and strangers(workspace / "embeddings", known) == []
    content = (parts / names[2]).read_bytes()
    (parts / names[2]).write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    (parts / names[3]).write_bytes(b"")
    small_parts.clear()
    embed(workspace, "a", labels=labels, device="cpu")
    assert path.read_bytes() == alone and not parts.exists()
    assert len(small_parts) == n_parts - 3 and {*names} & {*small_parts} == {names[2], names[3]}


@pytest.mark.parametrize("other", ["labels", "pooling", "splits", "weights"])
def test_parts_of_anything_else_are_made_again(small_parts, workspace, make_run, other):
    """Whatever the numbers hang on: what was done for it is not taken for something else."""
    rows = ends(workspace)
    write_labels(workspace, rows)
    killed(workspace, 3, labels="task")
    options = {}
    if other == "labels":
        write_labels(workspace, [(s, t - HOUR) for s, t in rows])
    elif other == "weights":
        from safetensors.numpy import load_file, save_file

        from tawt.files import write_hashes

        path = workspace / "runs" / "a" / "model.safetensors"
        save_file({name: tensor * 1.5 for name, tensor in load_file(path).items()}, path)
        write_hashes(path.parent)
    else:
        options = {"pooling": "max"} if other == "pooling" else {"splits": ("tuning",)}
    small_parts.clear()
    resumed = embed(workspace, "a", labels="task", device="cpu", **options).path.read_bytes()
    n_parts = len(small_parts)
    small_parts.clear()
    again = embed(workspace, "a", labels="task", device="cpu", **options).path.read_bytes()
    assert resumed == again and n_parts == len(small_parts)


def test_the_embedder_gives_what_embed_writes(make_run, workspace):
    """In the order of the rows, of any kind of table; who was not known is as wanted, and counted in a warning."""
    polars = pytest.importorskip("polars")
    make_run("a")
    rows = [(s, t - 3 * HOUR) for s, t in ends(workspace)]
    write_labels(workspace, rows)
    subject, time, vectors, _ = read(embed(workspace, "a", labels="task", device="cpu").path)
    at = dict(zip(zip(subject.tolist(), time.tolist(), strict=True), vectors, strict=True))
    asked = [[*at][i] for i in np.random.default_rng(0).permutation(len(at))[:40]] + [(-7, 0)]
    ids, times = np.array(asked).T
    times = times.astype("datetime64[us]")
    table = {"subject_id": ids, "prediction_time": times}
    embedder = TawtEmbedder(workspace, "a", device="cpu", unknown=0.0)
    expected = np.array([at.get(one, np.zeros(vectors.shape[1])) for one in asked])
    structured = np.rec.fromarrays([ids, times.astype("datetime64[ns]")], names=[*table])
    for X in (table, pa.table(table), polars.DataFrame(table), structured):
        with pytest.warns(UserWarning, match="of <11 of 41 rows nothing was known by then"):
            found = embedder.fit(X).transform(X)
        assert found.dtype == np.float32 and np.allclose(found, expected, atol=1e-5)
    for wrong in ({"subject_id": ids}, {**table, "prediction_time": ids}, {**table, "subject_id": ["x"] * len(ids)}):
        with pytest.raises(ConfigError, match="column `"):
            embedder.transform(wrong)


def test_the_embedder_is_a_step_of_scikit_learn(make_run, workspace):
    """It is cloned, set by name and fitted within a pipeline, and cross-validated."""
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    make_run("a")
    ids, times = np.array(ends(workspace)).T
    X = np.rec.fromarrays([ids, times.astype("datetime64[us]")], names="subject_id,prediction_time")
    model = make_pipeline(TawtEmbedder(workspace, "a", device="cpu"), LogisticRegression())
    assert model.fit(X, ids % 2).predict_proba(X).shape == (len(X), 2)
    assert len(cross_val_score(model, X, ids % 2, cv=2)) == 2
    pooled = clone(model).set_params(tawtembedder__pooling="max")
    assert pooled[0].get_params()["pooling"] == "max" and model[0].pooling is None
    with pytest.raises(ConfigError, match="`poling`: is no argument"):
        pooled[0].set_params(poling="max")


def test_a_map_is_of_embeddings_as_they_are_now(make_run, workspace):
    """`plot` draws the embeddings at the times of a label set; without them, or with others, it says how to make them."""
    pytest.importorskip("matplotlib")
    make_run("a")
    rows = ends(workspace)
    write_labels(workspace, rows, boolean_value=pa.array([i % 3 == 0 for i in range(len(rows))]))
    again = f"tawt embed -w {workspace} --run a --labels task"
    with pytest.raises(ConfigError, match="is not there, expected the run's embeddings") as error:
        plot(workspace, ["a"], labels="task")
    assert again in error.value.hint
    embed(workspace, "a", labels="task", device="cpu")
    (path,) = plot(workspace, ["a"], labels="task")
    assert path == workspace / "runs" / "a" / "plots" / "map-task.png" and path.read_bytes()[:4] == b"\x89PNG"
    write_labels(workspace, rows, boolean_value=pa.array([i % 2 == 0 for i in range(len(rows))]))
    with pytest.raises(ConfigError, match="is of another label set than task is now") as error:
        plot(workspace, ["a"], labels="task")
    assert again in error.value.hint


def test_labels_of_others_are_refused(make_run, workspace):
    """Where no prediction time is of a subject of the splits, no empty file is written; nor is one where none is there."""
    make_run("a")
    write_labels(workspace, [(-7, 0), (-8, HOUR)])
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match="no prediction time of a subject of"):
            embed(workspace, "a", labels="task", device="cpu", dry_run=dry_run)
    assert not (workspace / "embeddings").exists()


def test_an_embedder_is_told_by_its_arguments(make_run, workspace):
    """What it prints names what is not as by default, and each column of what it gives has a name."""
    make_run("a")
    embedder = TawtEmbedder("w", "a", device="cpu")
    assert repr(embedder) == "TawtEmbedder(workspace='w', run='a', device='cpu')"
    own = TawtEmbedder(workspace, "a", device="cpu")
    names = own.get_feature_names_out()
    (subject, time), *_ = ends(workspace)
    width = own.transform({"subject_id": [subject], "prediction_time": pa.array([time], pa.timestamp("us"))}).shape[1]
    assert len({*names}) == width and names[0] == "embedding0"


def test_a_run_of_a_workspace_beside_is_told_by_its_folder(tmp_path):
    """Whether it is named as there, or by both names as in what is told of it."""
    (tmp_path / "mimic" / "runs" / "scratch").mkdir(parents=True)
    (tmp_path / "mimic" / "runs" / "scratch" / "config.yaml").touch()
    (tmp_path / "eicu" / "runs").mkdir(parents=True)
    for name in ("scratch", "scratch-of-mimic"):
        with pytest.raises(CheckpointError, match="is no run of") as error:
            find_run(tmp_path / "eicu", name)
        assert f"--run {tmp_path / 'mimic' / 'runs' / 'scratch'}" in error.value.hint
        assert error.value.hint.startswith("make one with `tawt pretrain -w"), "it has no run of its own"
    (tmp_path / "eicu" / "runs" / "own").mkdir()
    (tmp_path / "eicu" / "runs" / "own" / "config.yaml").touch()
    with pytest.raises(CheckpointError) as error:
        find_run(tmp_path / "eicu", "scratch")
    assert error.value.hint.startswith("a run of another workspace")


def test_rows_of_a_file_are_written_a_group_at_a_time_to_the_same_bytes(tmp_path):
    """More rows than a row group has give the bytes of a table that is written at one go, and lie in no memory of Python's
    own; what is given back to the file is still there."""
    n, width = (1 << 20) + 3, 2
    parts = Parts(tmp_path / "e.parquet", "key")
    tracemalloc.start()
    with parts.rows((n, width)) as rows:
        held = tracemalloc.get_traced_memory()[1]
        for i in range(0, n, 1 << 16):
            part = np.arange(i, min(i + (1 << 16), n), dtype=np.float32)
            rows.vectors[i : i + len(part)] = part[:, None]
            rows.let_go()
        assert rows.vectors[:: 1 << 16, 1].tolist() == [*range(0, n, 1 << 16)]
        number, about = np.arange(n), {"of": "x"}
        write_embeddings(tmp_path / "e.parquet", number, number, np.full(n, "train", object), None, rows, about)
        columns = {
            "subject_id": number, "time": pa.array(number, pa.timestamp("us")), "split": pa.array(["train"] * n),
            "embedding": as_lists(np.repeat(np.arange(n, dtype=np.float32)[:, None], width, 1)),
        }  # fmt: skip
    tracemalloc.stop()
    write_parquet(tmp_path / "whole.parquet", pa.table(columns, metadata=about))
    assert (tmp_path / "e.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert held < n and not parts.folder.exists()
