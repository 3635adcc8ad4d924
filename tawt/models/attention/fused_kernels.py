"""Time-aware attention over packed documents in Triton: four kernels, without atomics, sums in a fixed order.

    turn            queries and keys turned by their tokens' time
    forward         a tile of queries against all keys of its documents
    to_queries      gradient of queries, and each tile's share of that of the terms' strengths
    to_keys         gradients of keys and values

A tile is a fixed run of tokens of the batch, and the grid covers them all, whatever documents lie there, so a launch
can be captured. A program reads where its first token's document begins and its last one's ends, and visits that run
and no other; scores are masked only at its end, or where the tile itself holds several documents.

Scores are made in the units of the plain product and then brought to those of log 2, for the hardware's exponential has
base 2, and so has its logarithm. A time is two float32 in one 64-bit number, in units of tau: the difference of two is
as good as in float64, over decades. A static's time is none (NaN), and a gap that is none is taken for 0.

Source: FlashAttention-2 (Dao, 2023), whose two orders of the backward pass need no atomics.
"""

import triton
import triton.language as tl

SPAN: tl.constexpr = tl.constexpr(64)
"""Tokens of an entry of `order`, as `batch_geometry.SPAN`."""
LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)
LN_2: tl.constexpr = tl.constexpr(0.6931471805599453)
LOWEST: tl.constexpr = tl.constexpr(-1e30)
"""Where the maximum of a row starts: finite, so that a tile of other documents makes no NaN."""
COMPILED: tl.constexpr = tl.constexpr(not triton.knobs.runtime.interpret)


@triton.jit
def _tile(order, SIDE: tl.constexpr):
    """The tile of a program: spans come in the given order, the tiles of a span one after another."""
    per_span: tl.constexpr = SPAN // SIDE
    return tl.load(order + tl.program_id(1) // per_span) * per_span + tl.program_id(1) % per_span


@triton.jit
def _halves(pair):
    """The two float32 of a 64-bit number, lower half first."""
    lower = pair.to(tl.int32).to(tl.float32, bitcast=True)
    return lower, (pair >> 32).to(tl.int32).to(tl.float32, bitcast=True)


@triton.jit
def _fade(row_times, column_times, LINEAR: tl.constexpr):
    """What a slope multiplies, of each pair: |dt| / tau, or the log 2 of 1 + that."""
    row_coarse, row_fine = _halves(row_times)
    column_coarse, column_fine = _halves(column_times)
    gap = (row_coarse[:, None] - column_coarse[None, :]) + (row_fine[:, None] - column_fine[None, :])
    if COMPILED and not LINEAR:  # tl.log2 is a polynomial of twenty steps
        return tl.inline_asm_elementwise(
            "{ .reg .f32 x; abs.f32 x, $1; max.f32 x, x, 0f00000000; add.f32 x, x, 0f3F800000; lg2.approx.f32 $0, x; }",
            "=f,f", [gap], dtype=tl.float32, is_pure=True, pack=1,
        )  # fmt: skip
    gap = tl.abs(gap)
    gap = tl.where(gap >= 0.0, gap, 0.0)
    return gap if LINEAR else tl.log2(1.0 + gap)


@triton.jit
def _angles(cos, sin, n, head, tokens, columns, sign, HALF: tl.constexpr):
    """Cosine of a tile's dimensions, and the sine for each one's partner; with the sign -1, to turn back."""
    turns = (tokens < n)[:, None] & (columns < 2 * HALF)[None, :]
    place = (head * n + tokens)[:, None] * HALF + (columns % HALF)[None, :]
    cosine = tl.load(cos + place, mask=turns, other=1.0)
    sine = tl.load(sin + place, mask=turns, other=0.0)
    return cosine, sine * tl.where(columns < HALF, -sign, sign)[None, :]


@triton.jit
def _turned_back(x, cos, sin, n, head, tokens, columns, HALF: tl.constexpr, SIDE: tl.constexpr, WIDE: tl.constexpr):
    """The gradient of a tile before it was turned."""
    partner = tl.where(columns < HALF, columns + HALF, tl.where(columns < 2 * HALF, columns - HALF, columns))
    cosine, sine = _angles(cos, sin, n, head, tokens, columns, -1.0, HALF)
    return x * cosine + tl.gather(x, tl.broadcast_to(partner[None, :], (SIDE, WIDE)), 1) * sine


@triton.jit(do_not_specialize=["n"])
def turn(
    qkv, turned, cos, sin, n, in_t, in_of, in_h,
    D: tl.constexpr, WIDE: tl.constexpr, SIDE: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Write the turned queries (0) and keys (1) of `(t, 3, n_heads, d)` to `(2, n_heads, t, d)`."""
    head, n_heads = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    rows, columns = tl.program_id(1) * SIDE + tl.arange(0, SIDE), tl.arange(0, WIDE)
    there = (rows < n)[:, None] & (columns < D)[None, :]
    ahead, behind = columns < HALF, (columns >= HALF) & (columns < 2 * HALF)
    cosine, sine = _angles(cos, sin, n, head, rows, columns, 1.0, HALF)
    for which in tl.static_range(2):
        line = qkv + which * in_of + head * in_h + rows.to(tl.int64)[:, None] * in_t + columns[None, :]
        x = tl.load(line, mask=there, other=0.0).to(tl.float32)
        partner = tl.load(line + HALF, mask=there & ahead[None, :], other=0.0).to(tl.float32)
        partner += tl.load(line - HALF, mask=there & behind[None, :], other=0.0).to(tl.float32)
        place = ((which * n_heads + head) * n + rows)[:, None] * D + columns[None, :]
        tl.store(turned + place, (x * cosine + partner * sine).to(turned.dtype.element_ty), mask=there)


@triton.jit
def _bounds(first, past, n, tile, SIDE: tl.constexpr, STEP: tl.constexpr, CAUSAL: tl.constexpr):
    """Which tokens a tile of queries visits: from, up to where no mask is needed, and to; causal, not past itself.

    A mask is needed by a tile of several documents, and at the end.
    """
    one, other = tl.minimum(tile * SIDE, n - 1), tl.minimum((tile + 1) * SIDE, n) - 1
    begin, end = tl.load(first + one), tl.load(past + other)
    free = one if CAUSAL else end
    free = tl.where(tl.load(first + other) == begin, (free - begin) // STEP * STEP, 0)
    return begin, begin + free, other + 1 if CAUSAL else end


@triton.jit
def _read(place, real, filled, MASKED: tl.constexpr, WHOLE: tl.constexpr):
    """Lines of a matrix; 0 where there are none."""
    if MASKED or not WHOLE:
        return tl.load(place, mask=real[:, None] & filled[None, :], other=0.0)
    return tl.load(place)


@triton.jit
def _listed(place, real, MASKED: tl.constexpr):
    """Numbers of a list; 0 where there are none."""
    return tl.load(place, mask=real, other=0) if MASKED else tl.load(place)


@triton.jit
def _seen(score, low, high, columns, MASKED: tl.constexpr):
    """Scores, and minus infinity where a column is not between what its row sees."""
    seen = (columns[None, :] >= low[:, None]) & (columns[None, :] < high[:, None])
    return tl.where(seen, score, float("-inf")) if MASKED else score


@triton.jit(do_not_specialize=["n"])
def forward(
    q, k, v, out, log_sum, first, past, times, slopes, fading, recency, order, n, qk_t, qk_h, v_t, v_h, scale,
    D: tl.constexpr, WIDE: tl.constexpr, SIDE: tl.constexpr, STEP: tl.constexpr,
    DECAY: tl.constexpr, LINEAR: tl.constexpr, RECENCY: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the output `(t, n_heads, d)` and, for the gradient, the log 2 of the sums of weights `(n_heads, t)`."""
    head, n_heads = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    tile = _tile(order, SIDE)
    rows, columns, steps = tile * SIDE + tl.arange(0, SIDE), tl.arange(0, WIDE), tl.arange(0, STEP)
    real, filled = rows < n, columns < D
    lines = rows.to(tl.int64)[:, None]
    query = _read(q + head * qk_h + lines * qk_t + columns[None, :], real, filled, True, D == WIDE)
    low, high = tl.load(first + rows, mask=real, other=0), tl.load(past + rows, mask=real, other=0)
    if CAUSAL:
        high = tl.minimum(high, rows + 1)
    unit = scale * LOG2_E
    slope = tl.load(slopes + head) * (LOG2_E if LINEAR else 1.0) / unit if DECAY else 0.0
    row_times = tl.load(times + rows, mask=real, other=0) if DECAY else rows
    ageing = tl.load(recency + head) / scale if RECENCY else 0.0
    k += head * qk_h + steps[:, None] * qk_t + columns[None, :]
    v += head * v_h + steps[:, None] * v_t + columns[None, :]
    top = tl.full((SIDE,), LOWEST, tl.float32)
    total, mixed = tl.zeros((SIDE,), tl.float32), tl.zeros((SIDE, WIDE), tl.float32)
    begin, free, end = _bounds(first, past, n, tile, SIDE, STEP, CAUSAL)
    for MASKED in tl.static_range(2):
        for start in tl.range(free if MASKED else begin, end if MASKED else free, STEP):
            keys = start + steps
            real_key = keys < end
            key = _read(k + start * tl.cast(qk_t, tl.int64), real_key, filled, MASKED, D == WIDE)
            score = tl.dot(query, tl.trans(key), input_precision=PRECISION)
            if DECAY:
                score -= slope * _fade(row_times, _listed(times + keys, real_key, MASKED), LINEAR)
            if RECENCY:
                score -= ageing * _listed(fading + keys, real_key, MASKED)[None, :]
            score = _seen(score, low, high, keys, MASKED)
            above = tl.maximum(top, tl.max(score, 1) * unit)
            weight = tl.exp2(score * unit - above[:, None])
            shrink = tl.exp2(top - above)
            total = total * shrink + tl.sum(weight, 1)
            value = _read(v + start * tl.cast(v_t, tl.int64), real_key, filled, MASKED, D == WIDE)
            mixed = tl.dot(weight.to(value.dtype), value, mixed * shrink[:, None], input_precision=PRECISION)
            top = above
    total = tl.where(real, total, 1.0)
    place = (lines * n_heads + head) * D + columns[None, :]
    tl.store(out + place, (mixed / total[:, None]).to(out.dtype.element_ty), mask=real[:, None] & filled[None, :])
    tl.store(log_sum + head * n + rows, top + tl.log2(total), mask=real)


@triton.jit(do_not_specialize=["n"])
def to_queries(
    q, k, v, out, log_sum, d_out, by_row, d_qkv, d_slopes, d_recency, cos, sin,
    first, past, times, slopes, fading, recency, order, n, qk_t, qk_h, v_t, v_h, scale,
    D: tl.constexpr, WIDE: tl.constexpr, SIDE: tl.constexpr, STEP: tl.constexpr, HALF: tl.constexpr,
    DECAY: tl.constexpr, LINEAR: tl.constexpr, RECENCY: tl.constexpr, CAUSAL: tl.constexpr, LEARNED: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradient of queries to `(t, 3, n_heads, d)`, the log sum and the mean gradient of each row to
    `(n_heads, t, 2)`, and each tile's share of the gradient of the strengths to `(n_heads, n_tiles)`."""
    head, n_heads = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    tile = _tile(order, SIDE)
    rows, columns, steps = tile * SIDE + tl.arange(0, SIDE), tl.arange(0, WIDE), tl.arange(0, STEP)
    real, filled = rows < n, columns < D
    lines = rows.to(tl.int64)[:, None]
    query = _read(q + head * qk_h + lines * qk_t + columns[None, :], real, filled, True, D == WIDE)
    place = (lines * n_heads + head) * D + columns[None, :]
    d_mixed = _read(d_out + place, real, filled, True, D == WIDE)
    center = tl.sum(d_mixed.to(tl.float32) * _read(out + place, real, filled, True, D == WIDE).to(tl.float32), 1)
    sums = tl.load(log_sum + head * n + rows, mask=real, other=0.0)
    tl.store(by_row + 2 * (head * n + rows), sums, mask=real)
    tl.store(by_row + 2 * (head * n + rows) + 1, center, mask=real)
    low, high = tl.load(first + rows, mask=real, other=0), tl.load(past + rows, mask=real, other=0)
    if CAUSAL:
        high = tl.minimum(high, rows + 1)
    unit = scale * LOG2_E
    slope = tl.load(slopes + head) * (LOG2_E if LINEAR else 1.0) / unit if DECAY else 0.0
    row_times = tl.load(times + rows, mask=real, other=0) if DECAY else rows
    ageing = tl.load(recency + head) / scale if RECENCY else 0.0
    k += head * qk_h + steps[:, None] * qk_t + columns[None, :]
    v += head * v_h + steps[:, None] * v_t + columns[None, :]
    d_query = tl.zeros((SIDE, WIDE), tl.float32)
    of_slope, of_recency = tl.zeros((SIDE,), tl.float32), tl.zeros((SIDE,), tl.float32)
    begin, free, end = _bounds(first, past, n, tile, SIDE, STEP, CAUSAL)
    for MASKED in tl.static_range(2):
        for start in tl.range(free if MASKED else begin, end if MASKED else free, STEP):
            keys = start + steps
            real_key = keys < end
            key = _read(k + start * tl.cast(qk_t, tl.int64), real_key, filled, MASKED, D == WIDE)
            value = _read(v + start * tl.cast(v_t, tl.int64), real_key, filled, MASKED, D == WIDE)
            score = tl.dot(query, tl.trans(key), input_precision=PRECISION)
            d_weight = tl.dot(d_mixed, tl.trans(value), input_precision=PRECISION)
            if DECAY:
                fade = _fade(row_times, _listed(times + keys, real_key, MASKED), LINEAR)
                score -= slope * fade
            if RECENCY:
                age = _listed(fading + keys, real_key, MASKED)[None, :]
                score -= ageing * age
            weight = tl.exp2(_seen(score, low, high, keys, MASKED) * unit - sums[:, None])
            d_score = weight * (d_weight - center[:, None])
            if LEARNED:
                of_slope += tl.sum(d_score * fade, 1)
            if RECENCY:
                of_recency += tl.sum(d_score * age, 1)
            d_query = tl.dot(d_score.to(key.dtype), key, d_query, input_precision=PRECISION)
    d_query *= scale
    if HALF:
        d_query = _turned_back(d_query, cos, sin, n, head, rows, columns, HALF, SIDE, WIDE)
    place = (lines * 3 * n_heads + head) * D + columns[None, :]
    tl.store(d_qkv + place, d_query.to(d_qkv.dtype.element_ty), mask=real[:, None] & filled[None, :])
    share = head * tl.num_programs(1) + tile
    if LEARNED:
        tl.store(d_slopes + share, -tl.sum(of_slope) * (1.0 if LINEAR else LN_2))
    if RECENCY:
        tl.store(d_recency + share, -tl.sum(of_recency))


@triton.jit(do_not_specialize=["n"])
def to_keys(
    q, k, v, d_out, by_row, d_qkv, cos, sin,
    first, past, times, slopes, fading, recency, order, n, qk_t, qk_h, v_t, v_h, scale,
    D: tl.constexpr, WIDE: tl.constexpr, SIDE: tl.constexpr, STEP: tl.constexpr, HALF: tl.constexpr,
    DECAY: tl.constexpr, LINEAR: tl.constexpr, RECENCY: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradients of keys and values to `(t, 3, n_heads, d)`; a key's scores are a row here."""
    head, n_heads = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    tile = _tile(order, SIDE)
    keys, columns, steps = tile * SIDE + tl.arange(0, SIDE), tl.arange(0, WIDE), tl.arange(0, STEP)
    real, filled = keys < n, columns < D
    lines = keys.to(tl.int64)[:, None]
    key = _read(k + head * qk_h + lines * qk_t + columns[None, :], real, filled, True, D == WIDE)
    value = _read(v + head * v_h + lines * v_t + columns[None, :], real, filled, True, D == WIDE)
    low, high = tl.load(first + keys, mask=real, other=0), tl.load(past + keys, mask=real, other=0)
    unit = scale * LOG2_E
    slope = tl.load(slopes + head) * (LOG2_E if LINEAR else 1.0) / unit if DECAY else 0.0
    key_times = tl.load(times + keys, mask=real, other=0) if DECAY else keys
    age = tl.load(recency + head) / scale * tl.load(fading + keys, mask=real, other=0.0) if RECENCY else 0.0
    q += head * qk_h + steps[:, None] * qk_t + columns[None, :]
    d_out += head * D + steps[:, None] * (n_heads * D) + columns[None, :]
    by_row += head * n
    d_key, d_value = tl.zeros((SIDE, WIDE), tl.float32), tl.zeros((SIDE, WIDE), tl.float32)
    begin, free, end = _bounds(first, past, n, tile, SIDE, STEP, False)
    if CAUSAL:  # a key is seen by itself and what follows: all masked
        low, begin, free = tl.maximum(low, keys), tile * SIDE, tile * SIDE
    for MASKED in tl.static_range(2):
        for start in tl.range(free if MASKED else begin, end if MASKED else free, STEP):
            rows = start + steps
            real_row = rows < end
            query = _read(q + start * tl.cast(qk_t, tl.int64), real_row, filled, MASKED, D == WIDE)
            d_mixed = _read(d_out + start * tl.cast(n_heads * D, tl.int64), real_row, filled, MASKED, D == WIDE)
            score = tl.dot(key, tl.trans(query), input_precision=PRECISION)
            d_weight = tl.dot(value, tl.trans(d_mixed), input_precision=PRECISION)
            sums, center = _halves(_listed(by_row + rows, real_row, MASKED))
            if DECAY:
                score -= slope * _fade(key_times, _listed(times + rows, real_row, MASKED), LINEAR)
            if RECENCY:
                score -= age[:, None]
            weight = tl.exp2(_seen(score, low, high, rows, MASKED) * unit - sums[None, :])
            d_value = tl.dot(weight.to(d_mixed.dtype), d_mixed, d_value, input_precision=PRECISION)
            d_score = weight * (d_weight - center[None, :])
            d_key = tl.dot(d_score.to(query.dtype), query, d_key, input_precision=PRECISION)
    d_key *= scale
    if HALF:
        d_key = _turned_back(d_key, cos, sin, n, head, keys, columns, HALF, SIDE, WIDE)
    place = ((lines * 3 + 1) * n_heads + head) * D + columns[None, :]
    whole = real[:, None] & filled[None, :]
    tl.store(d_qkv + place, d_key.to(d_qkv.dtype.element_ty), mask=whole)
    tl.store(d_qkv + place + n_heads * D, d_value.to(d_qkv.dtype.element_ty), mask=whole)
