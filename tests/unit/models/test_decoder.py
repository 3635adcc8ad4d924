"""Reading on and drawing, against the encoder that reads all at once."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.chance import draw
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.next_event import NextConfig
from tawt.dataset.reader import open_dataset
from tawt.models.decoder import sample
from tawt.models.decoder.counted import Counted
from tawt.models.decoder.drawn import Drawn
from tawt.models.decoder.due import Came
from tawt.models.decoder.heads import NextHeads, Step
from tawt.models.decoder.places import rank_as_last
from tawt.models.decoder.progress import Progress
from tawt.models.decoder.reading import Reading
from tawt.models.decoder.sample import Sampler
from tawt.models.encoder import Encoder
from tawt.objectives.next_targets import make_targets

HOUR = 3_600_000_000
TERMS = {
    "none": (), "rotary and decay": ("rotary", "decay"), "bucket": ("bucket",), "cosine": ("rotary", "cosine"),
}  # fmt: skip


@pytest.fixture
def records(tmp_path, write_dataset):
    """Vocabulary and a batch of whole records, simultaneous triplets by data_type."""
    write_dataset(tmp_path, {"train": [6]}, lengths=[30, 3, 12, 25, 40, 18])
    dataset = open_dataset(tmp_path)
    config = BatchingConfig(tokens_per_batch=400, max_length=200, order="by_type")
    batch = PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0).batch(0)
    assert batch.n_documents == 6 and batch.n_static.any()
    return dataset.vocabulary, batch


def a_decoder(vocabulary, attention=("rotary", "decay"), seed=0):
    """An encoder and heads whose weights are not at their start."""
    config = ModelConfig(
        d_model=16,
        n_layers=2,
        n_heads=2,
        d_ffn=32,
        causal=True,
        attention=attention,
        time=("time2vec", "delta", "minute"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, heads = (
            Encoder(config, vocabulary).eval(),
            NextHeads(
                config,
                NextConfig(
                    n_hours=2,
                    n_days=3,
                    n_due=12,
                    due_to_others=True,
                    numbers_so_far=True,
                    numbers_of_others=True,
                    hours_after=True,
                ),
                vocabulary,
            ).eval(),
        )
        v = len(vocabulary)
        knots = torch.randn(v, 257).sort(1).values
        zeros = torch.zeros(v), torch.zeros(v, 10), torch.zeros(vocabulary.n_category_rows)
        heads.start_at(
            Counted(
                torch.zeros(2, 4),
                torch.tensor([1.0, 1.0]),
                torch.linspace(-1, 3, 129),
                torch.zeros(168),
                torch.zeros(400),
                1 / 60,
                knots,
                *zeros,
                torch.arange(4, 16),
                torch.arange(0),
                torch.zeros(0, 8),
            )
        )
        for parameter in heads.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return encoder, heads


def as_drawn(batch, at, time):
    """Rows of a batch as if they had been drawn, after events at `time`."""
    step = np.where(batch.is_static[at], Step.STATIC, np.where(batch.time[at] > time, Step.LATER, Step.SAME))
    columns = (
        step, batch.time[at], batch.data_type[at], batch.value_status[at], batch.value[at], batch.value_token[at],
    )  # fmt: skip
    whole = [x.astype(np.float32 if x.dtype == np.float32 else np.int64) for x in columns]
    return Drawn(*whole, np.zeros(len(at)))


@pytest.mark.parametrize("began", [0, 60 * 8766], ids=["behind its origin", "before it"])
@pytest.mark.parametrize("attention", TERMS.values(), ids=TERMS)
def test_reading_on_is_reading_at_once(records, attention, began):
    """Prompts of every length and then one event after another give the states of the whole records, up to rounding."""
    vocabulary, batch = records
    batch = replace(batch, time=np.where(batch.is_static, 0, batch.time - began * HOUR))
    assert (batch.time < 0).any() == bool(began), "the case is not met"
    encoder, heads = a_decoder(vocabulary, attention)
    whole = encoder(batch.tensors()).tokens.detach()
    rng = np.random.default_rng(0)
    kept = np.minimum(rng.integers(0, 20, batch.n_documents), batch.lengths - 1)
    kept[0] = 1
    place = np.arange(batch.n_tokens) - batch.bounds[:-1][batch.document]
    prompt = batch.select(place < np.maximum(kept, 1)[batch.document])
    sampler = Sampler(encoder, heads, vocabulary, prompt.tensors(), np.arange(6, dtype=np.uint64))
    kept, worst, n = prompt.lengths, 0.0, 0
    first = sampler.reading.last
    ends = torch.from_numpy(batch.bounds[:-1] + kept - 1 + np.arange(6) + 1)
    assert (first - whole[ends]).abs().max() < 1e-5
    for more in range(40):
        at = batch.bounds[:-1] + np.minimum(kept + more, batch.lengths - 1)
        there = torch.from_numpy(kept + more < batch.lengths)
        states = sampler._read(as_drawn(batch, at, sampler.progress.time.numpy())).detach()
        apart = (states - whole[torch.from_numpy(at + np.arange(6) + 1)]).abs().amax(1)
        worst, n = max(worst, float((apart * there).max())), n + int(there.sum())
    assert n > 80 and worst < 2e-5


@pytest.mark.parametrize("began", [0, 60 * 8766], ids=["behind its origin", "before it"])
def test_records_are_told_the_past_that_they_were_trained_with(records, began):
    """Prompts of every length and then one event after another tell how long ago each data_type came, of the step and of
    the event, its numbers, and the first data_type that can come, as targets of the whole records do."""
    vocabulary, batch = records
    batch = replace(batch, time=np.where(batch.is_static, 0, batch.time - began * HOUR))
    told = torch.tensor([4, 5, 7, 11, 16])
    knots = torch.randn(len(vocabulary), 257, generator=torch.Generator().manual_seed(0)).sort(1).values
    targets = make_targets(
        batch,
        vocabulary,
        knots,
        told,
        how=NextConfig(numbers_so_far=True, n_due=5, numbers_of_others=True, n_hours=2, hours_after=True),
    )
    before = [
        torch.full((batch.n_tokens, *x.shape[1:]), torch.nan).index_put((targets.number_at,), x)
        for x in (targets.number_last, targets.number_level, targets.number_others)
    ]
    assert len(targets.before) == batch.n_tokens, "the case is not met"
    kept = np.array([1, 2, 2, 9, 10, 20])
    place = np.arange(batch.n_tokens) - batch.bounds[:-1][batch.document]
    progress = Progress.known(batch.select(place < kept[batch.document]).tensors(), knots)
    ends = np.flatnonzero(batch.ends)
    gap_row = torch.full((batch.n_tokens,), -1).index_put((targets.gap_at,), torch.arange(len(targets.gap_at)))
    n, numbers, minutes, never = 0, 0, 0, torch.zeros(6, dtype=torch.bool)
    for more in range(41):
        row = torch.from_numpy(batch.bounds[:-1] + np.minimum(kept + more, batch.lengths - 1))
        there = torch.from_numpy(kept + more < batch.lengths)
        step, time = targets.step[row], torch.from_numpy(batch.time)[row]
        kind = torch.from_numpy(batch.data_type[row].astype(np.int64))
        ours = (
            progress.ages(told, progress.time), progress.kind * progress.timed, progress.timed,
            progress.ages(told, time), progress.least(step, torch.tensor(len(vocabulary)))
        )  # fmt: skip
        theirs = targets.step_ages, targets.step_least, targets.step_timed, targets.type_ages, targets.type_least
        for i, (own, wanted) in enumerate(zip(ours, theirs, strict=True)):
            if i == 1:  # of the first event there is none
                own = own.clamp_min(0)
            if i == 4:
                own = torch.minimum(own, kind)
            assert torch.equal(own[there].to(wanted.dtype), wanted[row][there])
        later = there & (gap_row[row] >= 0)
        came, wanted = progress.came_minute(told)[later], targets.gap_came[gap_row[row[later]]]
        ever = targets.gap_ages[gap_row[row[later]]] >= 0
        assert torch.equal(came[ever], wanted[ever].long())
        minutes += int(ever.sum())
        asked = there & ~before[0][row].isnan()
        numbers += int((asked & (before[0][row] >= 0)).sum())
        for own, wanted in zip((*progress.numbers(kind), progress.others(told)), before, strict=True):
            torch.testing.assert_close(own[asked], wanted[row][asked])
        n += int(there.sum())
        final = torch.from_numpy(kept + more == batch.lengths)
        for d in final.nonzero()[:, 0].tolist():
            end = batch.n_tokens + int(np.searchsorted(ends, d))
            torch.testing.assert_close(progress.ages(told, progress.time)[d], targets.step_ages[end])
        token = torch.from_numpy(kept + more + 1)
        value, status = torch.from_numpy(batch.value[row]), torch.from_numpy(batch.value_status[row].astype(np.int64))
        rank = rank_as_last(knots, kind, value, status)
        progress, _, _ = progress.then(step, time, kind, token, there, never, rank)
    assert n > 80 and numbers > 20 and minutes > 20


def empty(batch, b):
    """Prompts of `b` records of which nothing is known."""
    none = batch.tensors()
    columns = {
        name: getattr(none, name)[:0]
        for name in (
            "data_type", "value", "value_token", "value_status", "hours", "is_static", "gap_hours", "type_gap_hours",
        )
    }  # fmt: skip
    hours = torch.zeros(b, dtype=torch.float64)
    return replace(
        none, **columns, clock_hours=torch.zeros(b, 3, dtype=torch.float64), subject_id=torch.arange(b),
        cu_seqlens=torch.zeros(b + 1, dtype=torch.int32), max_seqlen=0, end_hours=hours, end_time=hours.long(),
    )  # fmt: skip


def test_the_same_words_give_the_same_records(records):
    """A record drawn again in the same company is equal bit for bit; with another word it is another one."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)
    words = draw(np.arange(8), 5)
    one, again = (list(Sampler(encoder, heads, vocabulary, empty(batch, 8), words).events(30)) for _ in range(2))
    other = list(Sampler(encoder, heads, vocabulary, empty(batch, 8), draw(np.arange(8), 6)).events(30))
    assert len(one) == len(again)
    for a, b in zip(one, again, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))
    assert any(not np.array_equal(a.data_type, b.data_type) for a, b in zip(one, other, strict=False))


def test_drawn_events_are_sound(records):
    """Times never go back and are whole minutes, statics come first, nothing follows an end, values fit their status."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)
    sampler = Sampler(encoder, heads, vocabulary, empty(batch, 128), draw(np.arange(128), 1))
    time, timed, ended, seen = np.zeros(128, np.int64), np.zeros(128, bool), np.zeros(128, bool), set()
    for drawn in sampler.events(60):
        assert (drawn.step[ended] == Step.END).all()
        ended |= drawn.step == Step.END
        here = ~ended & (drawn.step != Step.STATIC)
        assert (drawn.time[here] >= time[here]).all() and (drawn.time % (HOUR // 60) == 0).all()
        assert not (timed & ~ended & (drawn.step == Step.STATIC)).any()
        time, timed = np.where(here, drawn.time, time), timed | here
        assert (drawn.data_type[~ended] != 0).all() and (drawn.data_type[~ended] != 3).all()
        category = (drawn.value_status == 2) & (vocabulary.n_categories[drawn.data_type] > 0)
        assert (drawn.value_token[category] > vocabulary.n_bins[drawn.data_type[category]]).all()
        seen |= set(drawn.step.tolist())
    assert seen == set(Step)


def test_what_is_suppressed_never_comes_and_its_chance_is_told(records):
    """The chance that is told of watched data_types is that of the heads; suppressed, none of them is drawn."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)
    watched = torch.zeros(len(vocabulary), dtype=torch.bool)
    watched[4:8] = True
    free = Sampler(encoder, heads, vocabulary, empty(batch, 400), draw(np.arange(400), 1), watched=watched)
    first = next(free.events(1))
    came = np.isin(first.data_type, [4, 5, 6, 7]) & (first.step != Step.END)
    there = first.step != Step.END
    spread = 4 * (came[there].std() / there.sum() ** 0.5)
    assert abs(came[there].mean() - first.watched[there].mean()) < spread and first.watched.min() > 0.01
    begun = Sampler(encoder, heads, vocabulary, empty(batch, 50), draw(np.arange(50), 1), watched=watched)
    bound = begun.branched(torch.arange(50), begun.words, suppressed=True)
    for drawn in bound.events(20):
        there = drawn.step != Step.END
        assert not np.isin(drawn.data_type[there], [4, 5, 6, 7]).any()
        assert (drawn.watched[drawn.step == Step.LATER] > 0).all()


def test_what_is_of_one_moment_comes_in_order_and_a_static_once(records):
    """Data_types of one moment never fall, those of statics always rise, and what follows later may be any."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)
    heads.step_bias.data[0, Step.STATIC] += 2
    events = [*Sampler(encoder, heads, vocabulary, empty(batch, 200), draw(np.arange(200), 8)).events(30)]
    n_same = n_static = n_fallen = 0
    for before, now in pairwise(events):
        static = (now.step == Step.STATIC) & (before.step == Step.STATIC)
        same = (now.step == Step.SAME) & (before.step != Step.STATIC)
        assert (now.data_type[static] > before.data_type[static]).all()
        assert (now.data_type[same] >= before.data_type[same]).all()
        n_same, n_static = n_same + same.sum(), n_static + static.sum()
        n_fallen += (now.data_type < before.data_type)[now.step == Step.LATER].sum()
    assert min(n_same, n_static, n_fallen) > 20


def test_what_is_never_static_comes_with_a_time_alone(records):
    """Of data_types that can be static facts, or come with a time, alone, none is drawn as the other, in their order."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)
    heads.step_bias.data[0, Step.STATIC] += 2
    possible = torch.ones(2, len(vocabulary), dtype=torch.bool)
    possible[0, 4:8], possible[1, 6:] = False, False
    before, n = np.full(200, -1), np.zeros(2, int)
    for one in Sampler(
        encoder, heads, vocabulary, empty(batch, 200), draw(np.arange(200), 8), possible=possible
    ).events(30):
        static, timed = one.step == Step.STATIC, (one.step == Step.SAME) | (one.step == Step.LATER)
        assert np.isin(one.data_type[static], [1, 4, 5]).all() and not np.isin(one.data_type[timed], [4, 5, 6, 7]).any()
        assert (one.data_type[static] > before[static]).all()
        before, n = np.where(static, one.data_type, before), n + np.array([static.sum(), timed.sum()])
    assert n.min() > 100


def test_where_nothing_can_come_with_a_time_a_record_ends(records):
    """Of people who have static facts alone in common, records are of these."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)
    possible = torch.zeros(2, len(vocabulary), dtype=torch.bool)
    possible[1, 4:8] = True
    for one in Sampler(encoder, heads, vocabulary, empty(batch, 50), draw(np.arange(50), 8), possible=possible).events(
        9
    ):
        assert np.isin(one.step, [Step.STATIC, Step.END]).all()


def test_what_is_due_is_of_all_that_can_come(records):
    """How much is due is the sum over what can still come in the moment, by its age where that is told, else by its share."""
    vocabulary = records[0]
    _, heads = a_decoder(vocabulary)
    states, table = torch.randn(40, 16), torch.randn(len(vocabulary), 16)
    least, age = torch.arange(40) % len(vocabulary), torch.rand(40, 12) * 50 - 5
    timed = torch.ones(40, dtype=torch.bool)
    with torch.no_grad():
        ours = heads.steps(states, timed, table, least, age)
        states = states + heads.came_by_now(table[heads.told_types], age)
        score = heads.what.type_bias.expand(40, -1).clone()
        score[:, heads.told_types] += heads.due(states, table[heads.told_types], age)
        score[torch.arange(len(vocabulary)) < least[:, None]] = -torch.inf
        theirs = heads.step(states) + heads.step_bias[1]
        theirs[:, Step.SAME] += score.logsumexp(1) * heads.of_due(states)[:, 0]
    assert (least > heads.told_types.max()).any(), "the case is not met"
    there = [Step.END, Step.SAME, Step.LATER]
    torch.testing.assert_close(ours[:, there], theirs[:, there], atol=1e-4, rtol=1e-4)


def test_what_came_moves_a_state_by_what_it_is_and_how_long_ago():
    """Of each data_type that came: that it did, how long ago in log minutes of a year, and whether in this very moment."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        came, table = Came(4), torch.randn(9, 4)
        age = torch.tensor([[-1.0] * 9, [0.0] * 9, [*range(-4, 5)]])
        assert not came(table, age).any(), "a fresh model is told nothing"
        torch.nn.init.normal_(came.of_came.weight)
        now, ever, ago = came.of_came.weight.detach().split(4, 1)
        expected = torch.zeros(3, 4)
        for row in range(3):
            for kind in range(9):
                hours = float(age[row, kind])
                if hours >= 0:
                    told = math.log1p(60 * hours) / math.log1p(60 * 24 * 365)
                    expected[row] += (now * (hours == 0) + (ever + ago * told) / 10) @ table[kind]
        torch.testing.assert_close(came(table, age).detach(), expected)
    assert not came(table, age)[0].any() and (came(table, age)[1] != came(table, age)[2]).all()


def test_letting_go_of_what_has_ended_changes_no_record(records, monkeypatch):
    """Records whose neighbours have ended and are let go come as they do with all of them kept, but for rounding."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)

    def drawn(spare):
        monkeypatch.setattr(sample, "_SPARE", spare)
        sampler = Sampler(encoder, heads, vocabulary, empty(batch, 64), draw(np.arange(64), 6))
        events = [*sampler.events(40)]
        return events, len(sampler.words)

    kept, n_kept = drawn(0.0)
    less, n_less = drawn(0.75)
    assert n_kept == 64 and n_less < 30 and len(kept) == len(less)
    for a, b in zip(kept, less, strict=True):
        there = a.step != Step.END
        assert np.array_equal(a.step, b.step)
        for name in ("time", "data_type", "value_status", "value_token"):
            assert np.array_equal(getattr(a, name)[there], getattr(b, name)[there]), name
        np.testing.assert_allclose(a.value[there], b.value[there], atol=1e-4)


def test_a_reading_copied_reads_on_alike(records):
    """What was read once and copied to several places reads on as if each had been read by itself."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)
    prompts = batch.tensors()
    one = Sampler(encoder, heads, vocabulary, prompts, draw(np.arange(6), 3))
    copied = one.reading.of(torch.tensor([2, 2, 4]))
    assert torch.equal(copied.last, one.reading.last[[2, 2, 4]])
    assert isinstance(copied, Reading) and copied.length.tolist() == one.reading.length[[2, 2, 4]].tolist()


def test_records_that_were_quiet_for_a_while_go_on_as_those_that_happened_to_be(records):
    """Asked some hours after its last event, a record ends and goes on as those of free draws in which nothing came by then."""
    vocabulary, batch = records
    encoder, heads = a_decoder(vocabulary)
    heads.step_bias.data[:, Step.END] -= 0.3
    prompts, n, waited = batch.tensors(), 4000, 2 * HOUR
    one = torch.full((n,), 4)
    free = Sampler(encoder, heads, vocabulary, prompts, draw(np.arange(6), 3)).branched(one, draw(np.arange(n), 7))
    drawn = next(free.events(1))
    last = int(free.progress.time[0])
    quiet = (drawn.step == Step.END) | ((drawn.step == Step.LATER) & (drawn.time > last + waited))
    late = replace(prompts, end_hours=torch.from_numpy(batch.end / HOUR) + waited / HOUR)
    asked = Sampler(encoder, heads, vocabulary, late, draw(np.arange(6), 3), asked=True)
    then = next(asked.branched(one, draw(np.arange(n), 8)).events(1))
    assert (
        set(then.step.tolist()) == {Step.END, Step.LATER} and (then.time[then.step == Step.LATER] > last + waited).all()
    )
    shares = [(x == Step.END).mean() for x in (drawn.step[quiet], then.step)]
    assert 300 < quiet.sum() < n - 300 and 0.1 < shares[0] < 0.9
    assert abs(shares[0] - shares[1]) < 4 * (0.25 / quiet.sum() + 0.25 / n) ** 0.5
    gaps = [np.log(x.time[x.step == Step.LATER] - last) for x in (drawn, then)]
    gaps[0] = gaps[0][gaps[0] > np.log(waited)]
    assert abs(gaps[0].mean() - gaps[1].mean()) < 4 * (gaps[0].var() / len(gaps[0]) + gaps[1].var() / n) ** 0.5 + 0.01
