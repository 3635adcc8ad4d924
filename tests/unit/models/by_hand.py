"""The decoder by hand: one event at a time, in plain loops, from the words of docs/concepts/objectives.md.

A record is read up to each of its events by itself, and what the heads say is reckoned from their weights number by number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from tawt.batching.batch import PackedBatch

MINUTE = 60_000_000
HOUR = 60 * MINUTE
YEAR = math.log1p(60 * 24 * 365)
END, STATIC, SAME, LATER = range(4)
WITH_NUMBER, CATEGORY = (1, 7, 8), 2


@dataclass
class Event:
    """A triplet; `time` in us since the origin, None = a static fact."""

    time: int | None
    kind: int
    status: int
    value: float
    token: int


def log_minutes(hours):
    return math.log1p(60 * hours) / YEAR


def softmax(logits):
    """Log chances."""
    most = max(logits)
    total = most + math.log(sum(math.exp(x - most) for x in logits))
    return [x - total for x in logits]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def log_between(a, b):
    """Log chance of a logistic between a and b: of either side, what is behind a but for what is behind b."""
    a, b = (a, b) if a + b > 0 else (-b, -a)
    return -softplus(a) + math.log1p(-math.exp(softplus(a) - softplus(b)))


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


class Hand:
    """Says of a record what each of its events costs, in nats by question.

    Args:
        encoder: Reads a record up to an event.
        heads: Whose weights are reckoned with.
        vocabulary: Of both.
    """

    def __init__(self, encoder, heads, vocabulary):
        self.encoder, self.heads, self.vocabulary = encoder, heads, vocabulary
        self.table = encoder.embedding.data_type.weight.detach().double().numpy()
        self.knots = heads.knots.detach().double().numpy()
        self.told = heads.told_types.tolist()

    def told_of(self, events, origin):
        """States of [CLS] and of each event, `(1 + n, d_model)` float64; gaps as the encoder is told them."""
        gaps, type_gaps, moments, came = [], [], [], {}
        for one in events:
            if one.time is None:
                gaps.append(0.0)
                type_gaps.append(-1.0)
                continue
            if not moments or moments[-1] != one.time:
                moments.append(one.time)
            gaps.append((moments[-1] - moments[-2]) / HOUR if len(moments) > 1 else 0.0)
            earlier = [t for t in came.get(one.kind, []) if t < one.time]
            type_gaps.append((one.time - earlier[-1]) / HOUR if earlier else -1.0)
            came.setdefault(one.kind, []).append(one.time)
        hours = torch.tensor([(one.time or 0) / HOUR for one in events], dtype=torch.float64)
        clock = [origin % period / HOUR for period in (24 * HOUR, 168 * HOUR, 31_556_952_000_000)]
        whole = {
            name: torch.tensor([getattr(one, name) for one in events], dtype=torch.int64)
            for name in ("kind", "token", "status")
        }
        batch = PackedBatch(
            data_type=whole["kind"], value=torch.tensor([one.value for one in events]).float(),
            value_token=whole["token"], value_status=whole["status"], hours=hours,
            is_static=torch.tensor([one.time is None for one in events], dtype=torch.bool),
            gap_hours=torch.tensor(gaps).float(), type_gap_hours=torch.tensor(type_gaps).float(),
            clock_hours=torch.tensor([clock], dtype=torch.float64),
            cu_seqlens=torch.tensor([0, len(events)], dtype=torch.int32), max_seqlen=len(events),
            subject_id=torch.zeros(1, dtype=torch.int64), end_hours=hours[-1:] if len(events) else torch.zeros(1).double(),
            end_time=torch.tensor([origin + ((events[-1].time or 0) if events else 0)]), n_cut=0,
        )  # fmt: skip
        with torch.no_grad():
            return self.encoder(batch).tokens.double().numpy()

    def linear(self, layer, x):
        bias = 0 if getattr(layer, "bias", None) is None else layer.bias.detach().double().numpy()
        return layer.weight.detach().double().numpy() @ x + bias

    def row(self, embedding, i):
        return embedding.weight.detach().double().numpy()[i]

    def scalar(self, network, x):
        return self.linear(network.outer, np.tanh(self.linear(network.inner, np.array([x]))))

    def gelu(self, x):
        return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])

    def rank(self, kind, value):
        """The shares of train's numbers below a number and not above it."""
        own = [float(np.float32(x)) for x in self.knots[kind]]
        value, n = float(np.float32(value)), len(own) - 1
        below, equal = sum(x < value for x in own), sum(x == value for x in own)
        if equal > 1:
            return below / n, (below + equal - 1) / n
        if below == 0 or value >= own[-1]:
            return (0.0, 0.0) if below == 0 else (1.0, 1.0)
        part = below - 1
        share = (value - own[part]) / (own[part + 1] - own[part])
        for outer, inner in ((0, 1), (n - 1, n - 2)):
            if part == outer and own[inner + 1] > own[inner]:
                # an exponential tail that leaves half of what is beyond the part before it behind that one
                scale = (own[inner + 1] - own[inner]) / math.log(2)
                bend = min((own[outer + 1] - own[outer]) / scale, 500)
                far = share if outer else 1 - share
                if bend > 1e-3:
                    far = (1 - math.exp(-bend * far)) / (1 - math.exp(-bend))
                share = far if outer else 1 - far
        return (part + share) / n, (part + share) / n

    def ages(self, before, now):
        """Hours since each data_type that is told of came last, -1 where it never did; a static came at the origin."""
        ages = []
        for kind in self.told:
            came = [one.time or 0 for one in before if one.kind == kind]
            ages.append(max(0, now - came[-1]) / HOUR if came else -1.0)
        return ages

    def due(self, state, ages):
        """Scores of the data_types that are told of."""
        net, scores = self.heads.due, []
        ways = self.linear(net.of_state, state)
        for kind, age in zip(self.told, ages, strict=True):
            curves = self.linear(net.curves, self.table[kind])
            whole = 0.5 < age < 24 * 365 and abs(age - round(age)) < 1 / 120
            if net.of_whole is not None and whole:
                curves = curves + self.linear(net.of_whole, self.table[kind])
            curves = curves.reshape(28, 4)
            if age < 0:
                told = curves[27]
            else:
                place = min(26.0, log_minutes(age) * 26)
                low = min(25, int(place))
                told = curves[low] + (place - low) * (curves[low + 1] - curves[low])
            scores.append(float(told @ ways))
        return scores

    def moved(self, net, state, ages):
        """A state that is told which data_types came, and how long ago."""
        now, ever, ago = (np.zeros(len(state)) for _ in range(3))
        for kind, age in zip(self.told, ages, strict=True):
            if age >= 0:
                now += self.table[kind] * (age == 0)
                ever += self.table[kind] / 10
                ago += self.table[kind] / 10 * log_minutes(age)
        return state + self.linear(net.of_came, np.concatenate([now, ever, ago]))

    def steps(self, state, before):
        """Log chances of END, STATIC, SAME, LATER."""
        timed = [one for one in before if one.time is not None]
        ages = self.ages(before, timed[-1].time if timed else 0)
        told = self.moved(self.heads.came_by_now, state, ages)
        logits = self.linear(self.heads.step, told) + self.heads.step_bias.detach().double().numpy()[int(bool(timed))]
        # how much is due of what can still come
        least = timed[-1].kind if timed else 0
        score = self.heads.what.type_bias.detach().double().numpy().copy()
        for kind, due in zip(self.told, self.due(told, ages), strict=True):
            score[kind] += due
        in_all = math.log(sum(math.exp(x) for x in score[least:]))
        logits[SAME] += in_all * self.linear(self.heads.of_due, told)[0]
        if timed:
            logits[STATIC] = -math.inf
        return softmax(logits)

    def gap_parts(self, state, before, origin):
        """What is said of the gap: log-normals, and what is told by the minute and by the day."""
        at = [one.time for one in before if one.time is not None]
        now = origin + (at[-1] if at else 0)
        there = [(origin + t) // MINUTE for t in sorted({*at})]
        minute = self.linear(self.heads.minute, state)
        share_of = self.linear(self.heads.of_marks, state)
        for i in range(60):
            ahead = now // MINUTE + 1
            while ahead % 60 != i:
                ahead += 1
            n = sum(m % 60 == i for m in there)
            told = [math.log(n / max(len(there), 1) / 0.003 + 1)]
            told += [float(ahead - ago in there) for ago in (60, 120, 30, 15)]
            minute[1 + i] += sum(a * b for a, b in zip(told, share_of, strict=True))
        # what comes whole hours after another: each minute is told what came last at it
        rarely, lately = self.linear(self.heads.hours_after.lately, state)
        of_type, sums = self.linear(self.heads.hours_after.of_type, state), [1.0] * 60
        for kind, age in zip(self.told, self.ages(before, at[-1] if at else 0), strict=True):
            if age >= 0:
                came = [0 if one.time is None else one.time for one in before if one.kind == kind][-1]
                score = float(of_type @ self.table[kind]) + rarely + lately * max(0.0, 1 - log_minutes(age))
                sums[(origin + came) // MINUTE % 60] += math.exp(score)
        for i in range(60):
            minute[1 + i] += math.log(sums[i])
        return self.linear(self.heads.gap, state), minute, self.linear(self.heads.day, state), now

    def gap(self, parts, gap):
        """Log chance of a gap, us."""
        free, minute, day, now = parts
        resolution = round(float(self.heads.resolution) * HOUR)
        step = max(1, round(resolution / MINUTE))
        m = len(free) // 3
        weights, chance = softmax(free[:m]), 0.0
        for w, mean, raw in zip(weights, free[m : 2 * m], free[2 * m :], strict=True):
            width = softplus(raw) + 0.003
            a, b = ((math.log((gap + side * resolution / 2) / HOUR) - mean) / width for side in (-1, 1))
            a, b = (a, b) if a + b < 0 else (-b, -a)  # on the side where both are small
            chance += math.exp(w) * (math.erfc(-b / math.sqrt(2)) - math.erfc(-a / math.sqrt(2))) / 2
        end = now + gap
        opened = [i for i in range(60) if (i - now // MINUTE) % step == 0]
        within = max(1, MINUTE / resolution)

        def among(logits, which, i):
            logs = dict(zip(which, softmax([logits[k] for k in which]), strict=True))
            return math.exp(logs[i]) if i in logs else 0.0

        n_hours = len(minute) - 61
        hours = (end // MINUTE - now // MINUTE - 1) // 60
        own = 0.0
        if end // MINUTE > now // MINUTE:
            own = among(minute[1:61], opened, end // MINUTE % 60) * among(minute[61:], range(n_hours), hours)
        share = sigmoid(minute[0])
        chance = (1 - share) * chance + share * own / within
        days = (end // HOUR - now // HOUR - 1) // 24
        own = 0.0
        if end // HOUR > now // HOUR:
            own = among(day[1:61], opened, end // MINUTE % 60) * among(day[61:85], range(24), end // HOUR % 24)
            own *= among(day[85:], range(len(day) - 85), days)
        share = sigmoid(day[0])
        return math.log((1 - share) * chance + share * own / within)

    def after(self, state, step, gap, minute):
        when = self.row(self.heads.of_step, step) + self.scalar(self.heads.of_gap, log_minutes(gap / HOUR))
        if step != STATIC:
            when = when + self.row(self.heads.of_minute, minute)
        known = state + when
        return known + self.linear(self.heads.outer, self.gelu(self.linear(self.heads.inner, known)))

    def types(self, after, before, now, least):
        """Log chances of data_types."""
        ages = self.ages(before, now)
        told = self.moved(self.heads.came_by_then, after, ages)
        wanted = self.gelu(self.linear(self.heads.what.to_type, told))
        logits = self.table @ wanted + self.heads.what.type_bias.detach().double().numpy()
        for kind, due in zip(self.told, self.due(told, ages), strict=True):
            logits[kind] += due
        logits[:least] = -math.inf
        return softmax(logits)

    def typed(self, after, kind, states, before, now):
        known = after + self.linear(self.heads.what.of_type, self.table[kind])
        for i in range(len(before))[::-1]:
            if before[i].kind == kind and now >= (before[i].time or 0):
                known = known + self.linear(self.heads.of_last, states[1 + i])
                return known + self.scalar(self.heads.of_age, log_minutes((now - (before[i].time or 0)) / HOUR))
        return known

    def statuses(self, typed, kind):
        hidden = self.gelu(self.linear(self.heads.what.to_value, typed))
        return softmax(self.linear(self.heads.what.status, hidden) + self.row(self.heads.what.status_bias, kind))

    def numbers_so_far(self, kind, before):
        """How far from the middle the last number of a data_type lies, and the level of all; 0 where there is none."""
        ranks = [
            sum(self.rank(kind, one.value)) / 2 for one in before if one.kind == kind and one.status in WITH_NUMBER
        ]
        return (ranks[-1] - 0.5, sum(r - 0.5 for r in ranks) / (len(ranks) + 0.5)) if ranks else (0.0, 0.0)

    def number_parts(self, typed, kind, status, before):
        """Weights, places and widths of the logistics of a number's rank."""
        heads, known = self.heads, typed + self.row(self.heads.of_status, status)
        aside, level = self.numbers_so_far(kind, before)
        if any(one.kind == kind and one.status in WITH_NUMBER for one in before):
            known = known + self.scalar(heads.of_number, 2 * aside) + self.scalar(heads.of_level, 2 * level)
        others = np.zeros((2, len(self.table[kind])))
        for other in self.told:
            others += np.outer(self.numbers_so_far(other, before), self.table[other])
        product = self.linear(heads.others.of_numbers, others.ravel())
        product = product * self.linear(heads.others.of_type, self.table[kind])
        hidden = self.gelu(self.linear(heads.to_number, known + self.linear(heads.of_others, product)))
        k = heads.how.n_numbers
        shares = self.linear(heads.follows, hidden)
        out = self.linear(heads.number, hidden) + self.row(heads.number_bias, kind)
        out[k : 2 * k] += shares[:k] * aside + shares[k : 2 * k] * level + shares[2 * k :] * product.mean()
        return np.exp(softmax(out[:k])), out[k : 2 * k], [softplus(x) + 0.004 for x in out[2 * k :]]

    def number(self, parts, low, high):
        """Log density of a rank, or its mean where many numbers are equal, on the scale of variance 1."""
        density = 0.0
        for w, place, width in zip(*parts, strict=True):
            # a place may lie so far outside that what lies within is no float: the share of it is one still
            within = log_between(-place / width, (1 - place) / width)
            a, b = (low - place) / width, (high - place) / width
            own = (
                log_between(a, b) - math.log(high - low)
                if high > low
                else -softplus(a) - softplus(-a) - math.log(width)
            )
            density += w * math.exp(own - within)
        return math.log(density) - math.log(2 * math.sqrt(3))

    def categories(self, typed, kind):
        first, n = int(self.vocabulary.category_offset[kind]), int(self.vocabulary.n_categories[kind])
        wanted = self.gelu(self.linear(self.heads.what.to_category, typed))
        rows = self.encoder.embedding.value.category_rows.detach().double().numpy()[first : first + n]
        return softmax(rows @ wanted + self.heads.what.category_bias.detach().double().numpy()[first : first + n])

    def costs(self, events, origin, begins=True, ends=True):
        """Nats by question, of each event and of the end: a list of dictionaries."""
        costs = []
        for i in range(len(events) + 1):
            before = events[:i]
            states = self.told_of(before, origin)
            state, at = states[-1], [one.time for one in before if one.time is not None]
            if i == len(events):
                costs.append({"step": -self.steps(state, before)[END]} if ends else {})
                continue
            one = events[i]
            since = 0 if one.time is None else one.time - (at[-1] if at else 0)
            step = STATIC if one.time is None else LATER if since > 0 else SAME
            now, minute = one.time or 0, (origin + (one.time or 0)) // MINUTE % 60
            if step != STATIC and not at and not begins:
                costs.append({})
                continue
            cost = {"step": -self.steps(state, before)[step]}
            if step == LATER:
                cost["gap"] = -self.gap(self.gap_parts(state, before, origin), since)
            least = 0
            if step == STATIC and before:
                least = min(before[-1].kind + 1, one.kind)
            elif step == SAME and at:
                least = before[-1].kind
            after = self.after(state, step, since if step == LATER else 0, minute)
            cost["next_type"] = -self.types(after, before, now, least)[one.kind]
            typed = self.typed(after, one.kind, states, before, now)
            cost["next_status"] = -self.statuses(typed, one.kind)[one.status]
            if one.status in WITH_NUMBER:
                parts = self.number_parts(typed, one.kind, one.status, before)
                cost["next_number"] = -self.number(parts, *self.rank(one.kind, one.value))
            n_bins = int(self.vocabulary.n_bins[one.kind])
            if one.status == CATEGORY and one.token > n_bins:
                cost["next_category"] = -self.categories(typed, one.kind)[one.token - n_bins - 1]
            costs.append(cost)
        return costs


def events_of(batch, d):
    """The events of a document of a `HostBatch`."""
    a, b = batch.bounds[d], batch.bounds[d + 1]
    return [
        Event(None if batch.is_static[i] else int(batch.time[i]), int(batch.data_type[i]), int(batch.value_status[i]),
              float(batch.value[i]), int(batch.value_token[i]))
        for i in range(a, b)
    ]  # fmt: skip
