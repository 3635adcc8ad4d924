"""What a decoder is told, says and costs, against a reckoning by hand from what the documents say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.chance import draw
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.models.decoder.sample import Sampler
from tawt.objectives.baselines import count_baselines
from tawt.objectives.prepare import Preparer
from tawt.objectives.pretrain_model import build_model
from tests.unit.models.by_hand import HOUR, MINUTE, Event, Hand, events_of

NEXT = {
    "weight": 1.0, "n_gaps": 4, "n_numbers": 3, "n_hours": 3, "n_days": 4, "n_due": 9, "due_by_hour": True,
    "due_to_others": True, "numbers_so_far": True, "numbers_of_others": True, "hours_after": True, "quiet_hours": 6, "later_weight": 0.1, "n_later": 5,
}  # fmt: skip


def a_case(folder, shards, max_length=200):
    """A batch of records with ties, censored numbers and whole hours, and a decoder whose weights are not at their start."""
    shards.write_dataset(folder, {"train": [14]}, lengths=[14, 3, 9, 20, 26, 12, 1, 2, 17, 8, 11, 6, 25, 16])
    config = PretrainConfig.model_validate({
        "model": {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ffn": 16, "causal": True, "dropout": 0.0,
                  "time": ["time2vec", "delta", "minute"]},
        "objective": {"masked": {"weight": 0.0}, "next": NEXT},
        "batching": {"tokens_per_batch": 2048, "max_length": max_length, "order": "by_type", "window": "sliding"},
    })  # fmt: skip
    dataset = open_dataset(folder)
    train = dataset.split("train")
    batch = PackedLoader(train, dataset.vocabulary, config.batching, 0).batch(0)
    baselines = count_baselines(train.shards, dataset.vocabulary, config.objective, [batch], people=train.people)
    model = build_model(config, dataset.vocabulary, 0).eval()
    model.start_at(baselines)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.15 * torch.randn(parameter.shape)
        knots = torch.randn(model.heads.next.knots.shape).sort(1).values
        knots[4::3, 60:90] = knots[4::3, 60:61]  # what many records have
        knots[5, :] = 0.0
        model.heads.next.knots.copy_(knots)
        model.heads.next.resolution.fill_(1 / 60)
    kept = model.kept(baselines)
    return config, dataset, batch, model, Preparer(config, dataset.vocabulary, kept, False)


def test_a_batch_costs_what_its_events_cost_by_hand(tmp_path, shards):
    """Of packed windows, some begun late: each part is the sum of the nats of single events, each read by itself."""
    _, dataset, batch, model, prepare = a_case(tmp_path, shards, max_length=12)
    rng = np.random.default_rng(0)
    # on whole minutes, often whole hours apart; some numbers at their bounds
    time = np.where(batch.is_static, 0, batch.time // MINUTE * MINUTE)
    round_ = rng.random(batch.n_tokens) < 0.5
    time = np.where(batch.is_static, 0, np.where(round_, time // HOUR * HOUR, time))
    for a, b in zip(batch.first_timed, batch.bounds[1:], strict=True):
        time[a:b] = np.sort(time[a:b])
    order = np.lexsort((batch.data_type, time, ~batch.is_static, batch.document))
    columns = {
        name: getattr(batch, name)[order] for name in ("data_type", "value", "value_token", "value_status", "identity")
    }
    status = columns["value_status"]
    status[(status == 1) & (rng.random(len(status)) < 0.3)] = 7
    own = model.heads.next.knots.numpy()[columns["data_type"], 75]
    columns["value"] = np.where((status == 1) & (rng.random(len(status)) < 0.3), own, columns["value"])
    batch = replace(batch, **columns, time=time[order])
    example = prepare(batch, 0)
    with torch.no_grad():
        sums = model(example).sums
    hand, total, met = Hand(model.encoder, model.heads.next, dataset.vocabulary), Counter(), Counter()
    for d in range(batch.n_documents):
        events = events_of(batch, d)
        costs = hand.costs(events, int(batch.origin[d]), bool(batch.begins[d]), bool(batch.ends[d]))
        met.update(part for cost in costs for part in cost)
        for cost in costs:
            total.update(cost)
    assert not batch.begins.all() and not batch.ends.all() and min(met.values()) > 10
    assert {part: met[part] for part in total} == {part: example.counts[part] for part in total}
    assert dict(total) == pytest.approx({part: sums[part].item() for part in total}, rel=2e-5)


def heard(sampler, most, monkeypatch):
    """What a sampler draws, and what its heads said of each event: by record and number, a dictionary by question."""
    said, rows = {}, {}

    def listen(name, method):
        def listened(*args):
            out = method(*args)
            rows[name] = out
            return out

        return listened

    with monkeypatch.context() as patch:
        for name in ("steps", "gaps", "types", "numbers"):
            patch.setattr(sampler.heads, name, listen(name, getattr(sampler.heads, name)))
        patch.setattr(sampler.heads.what, "statuses", listen("statuses", sampler.heads.what.statuses))
        draws = sampler._draw

        def once(states, which):
            rows.clear()
            now = sampler.progress.now.clone()
            one = draws(states, which)
            for i, record in enumerate(sampler._row.tolist()):
                of = {name: rows[name][i].double() for name in ("steps", "types", "numbers", "statuses")}
                of["gaps"] = [part[i].double().numpy() for part in vars(rows["gaps"]).values()], int(now[i])
                said[record, which] = of
            return one

        patch.setattr(sampler, "_draw", once)
        drawn = list(sampler.events(most))
    return drawn, said


@pytest.mark.parametrize("known", [0, 3, 12], ids=["from nothing", "of few events", "of a window"])
def test_what_is_drawn_is_told_what_is_learned(tmp_path, shards, monkeypatch, known):
    """Records drawn side by side until they end, from prompts of several lengths: of each event the heads say what they
    say by hand of that record, read whole up to there."""
    _, dataset, batch, model, _ = a_case(tmp_path, shards, max_length=14)
    heads = model.heads.next
    heads.step_bias.data[:, 0] -= 2
    place = np.arange(batch.n_tokens) - batch.bounds[:-1][batch.document]
    time = np.where(batch.is_static, 0, batch.time // MINUTE * MINUTE)
    batch = replace(batch, time=time)
    kept = np.minimum(known, np.arange(batch.n_documents) + (known > 3))
    prompts = batch.select(place < kept[batch.document])
    origin = batch.origin
    sampler = Sampler(
        model.encoder, heads, dataset.vocabulary, prompts.tensors(), draw(np.arange(batch.n_documents), 3)
    )
    drawn, said = heard(sampler, 12, monkeypatch)
    hand, met = Hand(model.encoder, heads, dataset.vocabulary), Counter()
    for d in range(batch.n_documents):
        events = events_of(prompts, d)
        for number, one in enumerate(drawn):
            if (d, number) not in said:
                break
            ours, before = said[d, number], list(events)
            states = hand.told_of(before, int(origin[d]))
            at = [x.time for x in before if x.time is not None]
            steps = hand.steps(states[-1], before)
            if not at and before and before[-1].kind == len(dataset.vocabulary) - 1:
                steps[1] = -np.inf  # behind the last data_type there is no other
                steps = torch.tensor(steps).log_softmax(0).tolist()
            assert ours["steps"].log_softmax(0).tolist() == pytest.approx(steps, abs=2e-4)
            step = int(one.step[d])
            met[step] += 1
            if step == 0:
                break
            still = step == 1
            now = None if still else int(one.time[d])
            last = at[-1] if at else 0
            since = (now - last) if step == 3 else 0
            parts = hand.gap_parts(states[-1], before, int(origin[d]))
            if step == 3:
                theirs = hand.gap((*ours["gaps"][0], parts[3]), since)
                assert theirs == pytest.approx(hand.gap(parts, since), abs=2e-4)
                met["gap"] += 1
            least = before[-1].kind + 1 if still and before else before[-1].kind if step == 2 and at else 0
            after = hand.after(states[-1], step, since, (int(origin[d]) + (now or 0)) // MINUTE % 60)
            kinds = hand.types(after, before, now or 0, least)
            assert ours["types"].log_softmax(0).tolist() == pytest.approx(kinds, abs=2e-4)
            kind, status = int(one.data_type[d]), int(one.value_status[d])
            typed = hand.typed(after, kind, states, before, now or 0)
            assert ours["statuses"].log_softmax(0).tolist() == pytest.approx(hand.statuses(typed, kind), abs=2e-4)
            if status in (1, 7, 8):
                weight, place, width = ours["numbers"].chunk(3)
                told = weight.softmax(0), place, torch.nn.functional.softplus(width) + 0.004
                for mine, theirs in zip(told, hand.number_parts(typed, kind, status, before), strict=True):
                    assert mine.tolist() == pytest.approx([*theirs], abs=2e-4)
                met["number"] += any(x.kind == kind and x.status in (1, 7, 8) for x in before)
            events.append(Event(now, kind, status, float(one.value[d]), int(one.value_token[d])))
    assert min(met[x] for x in (2, 3, "gap", "number")) > 10, met
