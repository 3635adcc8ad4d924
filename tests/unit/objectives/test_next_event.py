"""What is asked of the next event, against plain loops; and that a fresh model costs what the trivial guess does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.config.next_event import NEXT
from tawt.config.train import PretrainConfig
from tawt.contracts.value_status import HAS_NUMBER
from tawt.dataset.reader import open_dataset
from tawt.models.decoder.heads import Step
from tawt.models.decoder.mixtures import gap_log_chance
from tawt.models.decoder.places import KNOTS, ranks
from tawt.objectives import next_event
from tawt.objectives.baselines import count_baselines
from tawt.objectives.parts import subjects_of
from tawt.objectives.prepare import Preparer
from tawt.objectives.pretrain_model import build_model

HOUR = 3_600_000_000
MODEL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16, "causal": True}
OBJECTIVE = {
    "masked": {"weight": 0.0},
    "next": {"weight": 1.0, "n_due": 6, "due_to_others": True, "later_weight": 0.5, "n_later": 8},
}


@pytest.fixture
def made(workspace):
    """`made(max_length)`: a batch, what is asked of it, and what asks."""

    def make(max_length=1024, quiet_hours=0.0, next=None, **model):
        batching = {"tokens_per_batch": 2048, "max_length": max_length, "order": "by_type", "window": "sliding"}
        objective = OBJECTIVE | {"next": OBJECTIVE["next"] | {"quiet_hours": quiet_hours} | (next or {})}
        config = PretrainConfig.model_validate(
            {"model": MODEL | model, "objective": objective, "batching": batching | {"max_length": max_length}}
        )
        dataset = open_dataset(workspace)
        train = dataset.split("train")
        loader = PackedLoader(train, dataset.vocabulary, config.batching, 0)
        baselines = count_baselines(
            train.shards, dataset.vocabulary, config.objective, [loader.batch(0)], people=train.people
        )
        prepare = Preparer(config, dataset.vocabulary, baselines, True)
        batch = loader.batch(0)
        return batch, prepare(batch, 0), prepare, build_model(config, dataset.vocabulary, 0)

    return make


def test_what_follows_a_silence_weighs_more_while_it_is_learned(made):
    """Each data_type costs as before, times one more for each hour of the gap before it, up to so many; on tuning as before."""
    batch, example, prepare, model = made(quiet_hours=5.0)
    t = example.next
    assert ((t.gap_hours > 1) & (t.gap_hours < 5)).any() and (t.gap_hours > 5).any(), "the case is not met"
    # from the moment that times count from to the first event is no silence
    first = np.zeros(batch.n_tokens, dtype=bool)
    first[batch.first_timed[batch.first_timed < batch.bounds[1:]]] = True
    since = torch.where(torch.from_numpy(first), 0.0, t.gap_hours)
    assert torch.equal(t.type_weight, 1 + since.clamp_max(5)) and (t.gap_hours[first] > 5).any()
    heads = model.heads.next
    with torch.no_grad():
        tokens = model.encoder.closed(*model.encoder.opened(example.batch)).tokens
        table = model.encoder.embedding.data_type.weight
        tables = table, model.encoder.embedding.value.category_rows
        after = heads.after(tokens[t.before], t.step, t.gap_hours, t.minute)
        chance = heads.types(after, table, t.type_least, t.type_ages).log_softmax(1)
        each = -chance.gather(1, t.type_is[:, None])[:, 0].double().numpy()
        (ours,) = next_event.loss_sums(heads, tables, tokens, t, ["next_type"]).values()
    assert ours.item() == pytest.approx(
        sum(c * (1 + min(h, 5)) for c, h in zip(each, since.tolist(), strict=True)), rel=1e-5
    )
    prepare.training = False
    assert (prepare(batch, 0).next.type_weight == 1).all()


def test_targets_are_those_of_plain_loops(made):
    """Step, gap, data_type, the last of the same data_type and the record's end, document by document and row by row."""
    batch, example, _, _ = made(40)
    targets, met = example.next, set()
    expected, ends, ranked = [], [], 0
    for document in range(batch.n_documents):
        a, b = batch.bounds[document], batch.bounds[document + 1]
        first_token = a + document
        last: dict[int, int] = {}
        timed_before = False
        for row in range(a, b):
            still = row < a + batch.n_static[document]
            opening = not still and not timed_before
            gap = 0 if still else (batch.time[row] if opening else batch.time[row] - batch.time[row - 1])
            step = Step.STATIC if still else Step.LATER if gap > 0 else Step.SAME
            kind = int(batch.data_type[row])
            since = (batch.time[row] - batch.time[last[kind]]) / HOUR if kind in last else -1.0
            before = last[kind] + document + 1 if kind in last else 0
            least = 0
            if row > a and step == Step.STATIC:
                least = min(int(batch.data_type[row - 1]) + 1, kind)
            elif step == Step.SAME and not opening:
                least = int(batch.data_type[row - 1])
            met |= {"a bound"} if least else set()
            if not (opening and not batch.begins[document]):
                expected.append(
                    (
                        row + document,
                        step,
                        gap / HOUR if step == Step.LATER else 0.0,
                        kind,
                        least,
                        before,
                        since,
                        timed_before,
                    )
                )
            else:
                met.add("a window that begins late")
            last[kind] = row
            timed_before = timed_before or not still
        if batch.ends[document]:
            ends.append((first_token + (b - a), timed_before))
        else:
            met.add("a window that ends early")
    assert met == {"a window that begins late", "a window that ends early", "a bound"} and len(ends) > 5
    k = len(expected)
    columns = (
        targets.before, targets.step, targets.gap_hours, targets.type_is, targets.type_least, targets.last,
        targets.age_hours, targets.step_timed[:k],
    )  # fmt: skip
    for ours, theirs in zip(columns, zip(*expected, strict=True), strict=True):
        assert ours.double().numpy() == pytest.approx(np.array(theirs, dtype=float), rel=1e-6)
    assert targets.step_at.tolist() == [*targets.before.tolist(), *(token for token, _ in ends)]
    assert targets.step_is.tolist() == [*targets.step.tolist(), *[Step.END] * len(ends)]
    assert targets.step_timed[k:].tolist() == [timed for _, timed in ends]
    assert (targets.gap_is > 0).all() and len(targets.gap_is) == int((targets.step == Step.LATER).sum())
    ranked = targets.number_high >= targets.number_low
    assert ranked.all() and float(targets.number_low.min()) >= 0 and float(targets.number_high.max()) <= 1


def test_a_number_is_told_those_of_its_data_type_before_it(made):
    """Document by document and row by row: the rank of the last number of the data_type, over those without one, -1 where
    there is none in the window; and the sum of all ranks before it from the middle, over half a number more than there are.
    The same of other data_types, of those that are told of, 0 where there is none."""
    batch, example, prepare, _ = made(40, next={"numbers_so_far": True, "numbers_of_others": True, "n_due": 5})
    knots, expected, levels, others, met = prepare.baselines.next.knots, [], [], [], set()
    told = prepare.baselines.next.told_types.tolist()
    for document in range(batch.n_documents):
        so_far: dict[int, list[float]] = {}
        for row in range(batch.bounds[document], batch.bounds[document + 1]):
            kind = int(batch.data_type[row])
            if batch.value_status[row] not in HAS_NUMBER:
                met |= {"one without a number between"} if kind in so_far else set()
                continue
            opens_late = row == batch.first_timed[document] and not batch.begins[document]
            if not opens_late:
                own = so_far.get(kind, [])
                expected.append(own[-1] if own else -1.0)
                levels.append(sum(rank - 0.5 for rank in own) / (len(own) + 0.5))
                there = [so_far.get(other, []) for other in told]
                others.append(
                    [
                        [ranks_of[-1] - 0.5 if ranks_of else 0.0 for ranks_of in there],
                        [sum(rank - 0.5 for rank in ranks_of) / (len(ranks_of) + 0.5) for ranks_of in there],
                    ]
                )
                met |= {"several"} if len(own) > 2 else set()
            low, high = ranks(knots, torch.tensor([kind]), torch.tensor([batch.value[row]]))
            so_far.setdefault(kind, []).append(float(low + high) / 2)
    assert met == {"one without a number between", "several"} and len({*expected}) > 20
    assert example.next.number_last.tolist() == pytest.approx(expected, abs=1e-6)
    assert example.next.number_level.tolist() == pytest.approx(levels, abs=1e-6)
    assert example.next.number_others.numpy() == pytest.approx(np.array(others), abs=1e-6)
    assert len(told) == 5 and (np.array(others) != 0).any((0, 1)).sum() > 2


def test_a_number_lies_around_those_before_it_as_far_as_the_state_says(made):
    """What a decoder is told of the number before it and of their level moves its numbers, and moves them with these;
    without one, or told nothing, they stay where they are."""
    _, example, _, model = made(next={"numbers_so_far": True})
    heads, t = model.heads.next, example.next
    state = torch.randn(len(t.number_at), 16, generator=torch.Generator().manual_seed(0))
    kind, status = t.type_is[t.number_at], t.status_is[t.number_at]

    def places(rank, level=0.0):
        with torch.no_grad():
            before = torch.full(kind.shape, rank), torch.full(kind.shape, level), torch.zeros(len(kind), 2, 0)
            told = heads.numbers(state, kind, status, model.encoder.embedding.data_type.weight, *before)
            return told[:, heads.how.n_numbers : 2 * heads.how.n_numbers]

    assert torch.equal(places(0.1, 0.3), places(-1.0)), "a fresh model guesses as without"
    torch.nn.init.constant_(heads.follows.bias, 0.5)
    assert (places(0.9) - places(0.1)).numpy() == pytest.approx(0.4, abs=1e-5)
    assert (places(0.5, 0.4) - places(0.5, -0.4)).numpy() == pytest.approx(0.4, abs=1e-5)
    assert torch.equal(places(0.5), places(-1.0))
    torch.nn.init.normal_(heads.number.weight)
    assert not torch.allclose(places(0.5), places(-1.0))


def test_ranks_are_shares_of_numbers():
    """A number's rank is its share of the data_type's numbers; of one that many are, from the first of them to the last."""
    rng = np.random.default_rng(0)
    smooth = np.sort(rng.standard_normal(KNOTS)).astype(np.float32)
    tied = np.sort(np.repeat([1.0, 2.0, 7.0], [100, 50, KNOTS - 150])).astype(np.float32)
    knots = torch.from_numpy(np.stack([smooth, tied]))
    value = torch.tensor([float(smooth[64]), float(smooth[10] + smooth[11]) / 2, -99.0, 99.0, 2.0, 1.5, 7.0])
    low, high = ranks(knots, torch.tensor([0, 0, 0, 0, 1, 1, 1]), value)
    n = KNOTS - 1
    assert low.tolist() == pytest.approx([64 / n, 10.5 / n, 0, 1, 100 / n, 99.5 / n, 150 / n], abs=1e-6)
    assert high.tolist() == pytest.approx([64 / n, 10.5 / n, 0, 1, 149 / n, 99.5 / n, 1], abs=1e-6)


def test_a_fresh_model_costs_no_more_than_the_trivial_guess(made):
    """Each part of a fresh model lies at its baseline, at most a tenth of a nat per position above: no step learns shares."""
    _, example, prepare, model = made()
    model.start_at(prepare.baselines)
    model.eval()
    with torch.no_grad():
        sums = model(example).sums
    assert set(sums) == set(NEXT) == set(example.counts) == set(example.baseline)
    for part in NEXT:
        assert example.counts[part] > 20
        above = (sums[part].item() - example.baseline[part]) / example.counts[part]
        assert above < 0.1 and (part == "gap" or above > -0.1), part


def test_what_comes_later_changes_no_loss_before_it(made):
    """Of a batch whose last triplets are others, the likelihood of every triplet before them keeps its bits."""
    batch, _, prepare, model = made()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.3)
    model.eval()
    cut = batch.bounds[-1] - 3
    others = batch.data_type.copy()
    others[cut:] = others[cut:] % 20 + 4
    assert (others != batch.data_type).any()
    states = []
    for kinds in (batch.data_type, others):
        example = prepare(batch.but(data_type=kinds), 0)
        with torch.no_grad():
            states.append(model.encoder(example.batch).tokens)
    first = cut + batch.n_documents  # the token of the first that differs
    assert torch.equal(states[0][:first], states[1][:first]) and not torch.equal(states[0], states[1])


def test_logits_in_parts_are_logits_at_once(made, monkeypatch):
    """Where there are too many data_types to hold all logits, losses and gradients are those of all at once."""
    _, example, prepare, model = made()
    model.start_at(prepare.baselines)
    model.eval()
    found = []
    for most in (next_event.MOST_LOGITS, 24 * 50):
        monkeypatch.setattr(next_event, "MOST_LOGITS", most)
        model.zero_grad()
        total = model(example).sums["next_type"]
        total.backward()
        found.append([total.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) > 5
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_nothing_asked_costs_zero(made):
    """Lists without an entry give losses of 0 with gradients that are finite."""
    _, example, _, model = made()
    empty = {name: x[:0] for name, x in vars(example.next).items() if isinstance(x, torch.Tensor)}
    sums = model(replace(example, next=replace(example.next, **empty, n_categories=0))).sums
    assert all(total.item() == 0 for total in sums.values())
    torch.stack(list(sums.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_subjects_of_a_part_are_whose_tokens_it_asks(made):
    """Every part names subjects of the batch; the step, which is asked of all, names all."""
    batch, example, _, _ = made()
    assert set(subjects_of(example, "step").tolist()) == set(batch.subject_id.tolist())
    few = subjects_of(example, "next_category").tolist()
    assert 0 < len(few) <= len(set(batch.subject_id.tolist())) and math.prod(few) != 0


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"model": {"causal": False}}, "needs model.causal"),
        ({"model": {"granularity": "timestamp"}}, "a token per triplet"),
        ({"batching": {"order": "drawn"}}, "batching.order by_type"),
        ({"objective": {"masked": {"weight": 1.0}}}, "no other objective"),
        ({"model": {"attention": ["recency"]}}, "recency"),
        ({"model": {"pooling": "cls"}}, "cls"),
    ],
)
def test_what_does_not_fit_a_decoder_is_refused(tree, said):
    """Attention that sees ahead, tokens of moments, an order of chance and objectives that hide are refused by name."""
    from tawt.config.load import merge

    whole = {"model": MODEL, "objective": OBJECTIVE, "batching": {"order": "by_type"}}
    PretrainConfig.model_validate(whole)
    with pytest.raises(ValueError, match=said):
        PretrainConfig.model_validate(merge(whole, tree))


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        ([60_000_000] * 60 + [300_000_000] * 39 + [61_000_000], 60_000_000),
        ([60_000_000] * 90 + [61_000_000] * 10, 1_000_000),
        ([86_400_000_000, 2 * 86_400_000_000], 86_400_000_000),
        ([7_000_003, 14_000_006], 7_000_003),
        ([], 1),
    ],
    ids=["one of a hundred by the second", "ten of a hundred", "days", "no step of the clock", "nothing"],
)
def test_times_are_told_in_the_step_that_nearly_all_keep_to(apart, expected):
    """A few rows that are told more finely do not have all gaps drawn so; records without a common step have their own."""
    from tawt.objectives.next_counts import _resolution

    assert _resolution(np.array(apart, dtype=np.int64)) == expected


def test_a_gap_that_is_no_multiple_is_told_as_the_nearest():
    """What lies between two multiples, or below the first, has the chance of the nearest."""
    outputs = torch.tensor([[0.0, 0.5, 1.0]]).expand(4, 3)
    told = gap_log_chance(outputs, torch.tensor([0.1, 0.5, 1.9, 2.0]), 0.5)
    assert told[0] == told[1] and told[2] == told[3] and torch.isfinite(told).all()
