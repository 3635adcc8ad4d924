"""Tasks of any form, asked of what the automaton's decoder draws: values, counts and SQL, judged by fresh walks."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import torch
from world import DEATH, HOUR, SPECIAL, STEPS, N, config, first_events

from tawt.batching.loader import PackedLoader
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.heads.label_set import LabelSet
from tawt.labels.task import read_task
from tawt.labels.windows import furthest
from tawt.risks.continuations import as_events
from tawt.risks.records import Asking
from tawt.risks.simulate import Question, Simulation, continue_records, simulate
from tawt.sources.sql_file import read_sql
from tawt.synthesis.values import Meanings

HOURS, KIND, OTHER, n = 24, 3, 1, 60
TASK = """predicates:
  wanted: {{{wanted}}}
trigger: _RECORD_START
windows:
  input: {{start: null, end: trigger, start_inclusive: true, end_inclusive: true, index_timestamp: end}}
  target: {{start: input.end, end: start + {hours}h, start_inclusive: false, end_inclusive: true, label: wanted}}
{more}
"""
PIPELINE = PipelineConfig.model_validate({"name": "world", "source": "world"})


@pytest.fixture(scope="module")
def begun(learned):
    """The decoder, one record for each data_type of which its first event is known, and that as events."""
    world, dataset, decoder, _ = learned
    prompts = first_events(PackedLoader(dataset.split("tuning"), dataset.vocabulary, config(STEPS).batching).batch(0))
    known = pa.table({
        "subject_id": prompts.subject_id, "time": pa.array(prompts.origin + prompts.time).cast(pa.timestamp("us")),
        "code": [dataset.vocabulary.codes[kind] for kind in prompts.data_type],
        "numeric_value": pa.array(np.where(prompts.value_status == 1, 5 + 2 * prompts.value, np.nan), from_pandas=True),
        "text_value": pa.nulls(N, pa.large_string()), "unit": pa.nulls(N, pa.string()),
        "available_time": pa.nulls(N, pa.timestamp("us")),
    })  # fmt: skip
    return world, dataset.vocabulary, decoder, prompts, known


def labels_of(prompts, kind, classes=()):
    """Labels at the first events; what came is not known."""
    truth, none = np.zeros((N, 1)), np.empty((N, 0))
    return LabelSet(
        "asked", "0", kind, prompts.subject_id, prompts.origin + prompts.end, ("label",), truth, none, none, classes
    )


def answered(begun, asked, kind, classes=(), hours=HOURS, most=1000):
    """What `n` continuations of each record say."""
    _, vocabulary, decoder, prompts, known = begun
    until = None if hours is None else prompts.end + hours * HOUR
    continued = continue_records(decoder, prompts.tensors(), until, Simulation(n, most=most))
    connection = duckdb.connect()
    connection.execute("create schema events")
    connection.register("known_events", known)
    asking = Asking(connection, "known_events", labels_of(prompts, kind, classes), asked, n, "asked", PIPELINE)
    events = as_events(continued, Meanings(vocabulary))
    asking.add(0, continued, events, N)
    asking.resolve()
    return asking.answered, continued, events


def aces(tmp_path, wanted, more="", hours=HOURS):
    """An ACES task."""
    path = tmp_path / "task.yaml"
    path.write_text(TASK.format(wanted=wanted, more=more, hours=hours))
    return read_task(path)


def code(kind):
    """What events call a data_type."""
    return f"LAB//{kind + SPECIAL:05d}"


def walked(world, of):
    """The mean of something over walks from each data_type, by the automaton itself."""
    return np.array([np.mean([of(walk) for walk in world.records(2000, 7, kind, HOURS)]) for kind in range(N)])


def test_a_value_above_a_threshold_is_as_likely_as_the_automaton_says(begun, tmp_path):
    """Whether a number one deviation above its mean comes within a day: the share is that of fresh walks."""
    world, _, _, _, _ = begun
    task = aces(tmp_path, f"code: {code(KIND)}, value_min: 7.0")
    assert furthest(task) == HOURS * US_PER_HOUR
    found, continued, _ = answered(begun, task, "binary")
    said = found.mean()[:, 0]
    known = walked(world, lambda walk: any(kind == KIND and number > 1 for _, kind, number in walk))
    others = np.arange(N) != KIND  # of the data_type itself a number is known, and the next hangs on it
    assert (found.n_answers == n).all() and continued.is_whole.all() and found.n_cut.sum() == 0
    error = np.sqrt((known * (1 - known)).sum() * (1 / n + 1 / 2000))
    assert known[others].min() > 0.1 and known[others].max() < 0.9
    assert abs(said[others].sum() - known[others].sum()) < 4 * error
    assert np.abs(said - known)[others].max() < 0.25


def test_counts_and_classes_are_those_of_the_automaton(begun, tmp_path):
    """How often something comes within a day is the mean count of fresh walks; as classes of a value, their shares."""
    world, _, _, _, _ = begun
    found, _, _ = answered(begun, aces(tmp_path, f"code: {code(OTHER)}", "label_type: count"), "counts")
    said = found.mean()[:, 0]
    known = walked(world, lambda walk: sum(kind == OTHER for _, kind, _ in walk))
    spread = np.array([
        np.var([sum(kind == OTHER for _, kind, _ in walk) for walk in world.records(2000, 7, start, HOURS)])
        for start in range(N)
    ])  # fmt: skip
    assert known.min() > 0.3 and abs(said.sum() - known.sum()) < 4 * np.sqrt(spread.sum() / n) + 0.15 * known.sum()
    more = "label_type: multiclass\nbins: [5.0]\nlabel_agg: first"
    found, _, _ = answered(begun, aces(tmp_path, f"code: {code(KIND)}", more), "classes", ("<5", ">=5"))
    shares = found.mean()
    assert shares.sum(1) == pytest.approx(1) and 0 < found.n_without < N * n, "who never had it has no answer"
    others = np.arange(N) != KIND
    assert shares[others, 1].mean() == pytest.approx(0.5, abs=0.12)


def test_a_plain_task_has_the_same_answer_on_records_to_the_bit(begun, tmp_path):
    """Whether death comes within a day: resolved on records it is M0 of the same continuations, label by label."""
    _, vocabulary, decoder, prompts, _ = begun
    watched = torch.zeros(len(vocabulary), dtype=torch.bool)
    watched[SPECIAL + DEATH] = True
    question = Question(watched, prompts.end + HOURS * HOUR)
    args = decoder, prompts.tensors(), question, Simulation(n)
    plain, kept = simulate(*args), simulate(*args, keep=True)
    found, continued, _ = answered(begun, aces(tmp_path, f"code: {code(DEATH)}"), "binary")
    assert (found.mean()[:, 0] == plain.chance("M0")).all() and 0 < plain.chance("M0").sum() < N
    for method in plain.each:
        assert (kept.each[method] == plain.each[method]).all() and (kept.steps[method] == plain.steps[method]).all()
    assert kept.continued is not None and (kept.continued.records.time == continued.records.time).all()


def test_what_was_cut_is_open_and_bounds_say_how_far_it_may_lie(begun, tmp_path):
    """Continuations cut after two events have no answer on records; the least and the most hold the whole answer."""
    _, vocabulary, decoder, prompts, _ = begun
    task = aces(tmp_path, f"code: {code(DEATH)}")
    cut, continued, _ = answered(begun, task, "binary", most=2)
    whole, _, _ = answered(begun, task, "binary")
    assert 0 < cut.n_cut.sum() == (~continued.is_whole).sum() and (cut.n_cut + cut.n_answers[:, 0] == n).all()
    low, high = cut.bounds()
    assert (low[:, 0] <= whole.mean()[:, 0]).all() and (whole.mean()[:, 0] <= high[:, 0]).all() and (low < high).any()
    watched = torch.zeros(len(vocabulary), dtype=torch.bool)
    watched[SPECIAL + DEATH] = True
    question = Question(watched, prompts.end + HOURS * HOUR)
    short = simulate(decoder, prompts.tensors(), question, Simulation(n, most=2))
    for method, each in short.each.items():
        assert (short.chance(method) < short.most(method)).any() and not short.complete[method].all()
        assert short.most("M0") == pytest.approx((each * 0 + short.each["M0"] + ~short.complete["M0"]).mean(1))


def test_an_observed_horizon_is_one_that_somebody_lived_beyond(begun, tmp_path):
    """Of a task with a horizon, records that end before it without the outcome have no answer, all others have."""
    more = f"horizons: [{HOURS}h]\nnew_onset: false"
    text = aces(tmp_path, f"code: {code(DEATH)}", more)
    found, continued, events = answered(begun, text, "binary")
    owner = events["continuation"].to_numpy()
    hours = (events["time"].cast(pa.int64()).to_numpy() - continued.asked[owner]) / HOUR
    beyond = np.unique(owner[hours >= HOURS])
    died = np.unique(owner[(np.array(events["code"].to_pylist()) == code(DEATH)) & (hours <= HOURS)])
    assert found.n_answers.sum() == len(np.union1d(beyond, died)) < N * n


def test_a_label_stage_over_events_is_asked_too(begun, tmp_path):
    """The SQL of a stage, run on histories with their continuations, gives what the ACES task of the same words does."""
    path = tmp_path / "died.sql"
    path.write_text(f"""-- One row is whether a record holds a death within a day of its start.
with record as (
    select subject_id, min(time) as began, min(time) filter (where code = '{code(DEATH)}') as died, 1 as _row
    from events group by subject_id
)

select
    subject_id, began as prediction_time, coalesce(died <= began + interval {HOURS} hours, false) as boolean_value,
    _row, null as _reason
from record
""")
    stage = read_sql(path, "labels")
    by_stage, _, _ = answered(begun, stage, "binary")
    by_task, _, _ = answered(begun, aces(tmp_path, f"code: {code(DEATH)}"), "binary")
    assert (by_stage.mean() == by_task.mean()).all() and by_stage.mean().sum() > 0
