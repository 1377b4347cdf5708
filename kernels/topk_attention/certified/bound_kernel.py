"""Triton kernel of the certified search's bound: scores from int8 steps, and which videos may reach a threshold.

The bound is that of ``reference``, with the gradient at the softmax of the stored logits, for what a GPU's float16
search computes: ``device_rounding`` has its terms. Everything is float64 here, so that the test itself needs none. A
program has one query and some videos, whose frames are an axis of their own: the compiler's time would grow with the
square of their number where each is a tensor, as in ``epilogue``.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

from ...device.keep import keep, numbers
from ..epilogue import table_rows
from . import device_columns as of

LANES = tl.constexpr(16)
TINY = tl.constexpr(1e-30)
UNBOUNDED = tl.constexpr(1e14)
"""Videos with such a remainder are ones that the forms say nothing of; csrc/bound.h says the same."""
WIDEST = tl.constexpr(3.0)
"""Beyond it the series of exp doesn't hold."""
COLUMNS = tl.constexpr(of.COLUMNS)
SCALE, NORM, SQUARE, SLACK = (tl.constexpr(x) for x in (of.SCALE, of.NORM, of.SQUARE, of.SLACK))
TAU, ROUNDING, OWN, WEIGHTS = (tl.constexpr(x) for x in (of.TAU, of.ROUNDING, of.OWN, of.WEIGHTS))
OFFSET, BIAS = tl.constexpr(of.OFFSET), tl.constexpr(of.BIAS)
MEAN_STEP, SIGMA_OFF, R_OFF, ROOT_OFF = (tl.constexpr(x) for x in (of.MEAN_STEP, of.SIGMA_OFF, of.R_OFF, of.ROOT_OFF))
SIGMA_EQUAL, R_EQUAL = tl.constexpr(of.SIGMA_EQUAL), tl.constexpr(of.R_EQUAL)
SIGMA_LOST, R_LOST, ROOT_LOST = (tl.constexpr(x) for x in (of.SIGMA_LOST, of.R_LOST, of.ROOT_LOST))
SIGMA_LEAST, R_LEAST, ROOT_LEAST = (tl.constexpr(x) for x in (of.SIGMA_LEAST, of.R_LEAST, of.ROOT_LEAST))
VIDEO_ROWS = tl.constexpr(of.VIDEO_ROWS)


@triton.jit
def _of(pointer, row):
    """Rows of what lies in blocks of 16 videos, in float64."""
    return tl.load(pointer + row * LANES).to(tl.float64)


@triton.jit
def _above(values, P: tl.constexpr):
    """How many of [videos, P] come before each in falling order, the earlier of equal ones first."""
    i = tl.arange(0, P)[None, :, None]
    j = tl.arange(0, P)[None, None, :]
    own = values[:, :, None]
    other = values[:, None, :]
    return tl.sum(((other > own) | ((other == own) & (j < i))).to(tl.int32), 2)


@triton.jit
def _scales(square0, square1, square2, linear0, linear1, linear2, kappa):
    """sigma, r and sqrt(e) of the three forms and vectors."""
    sigma = tl.sqrt(tl.maximum(square0, TINY))
    r = tl.sqrt(tl.maximum(square1 + sigma * linear0, TINY))
    root = tl.sqrt(tl.maximum(square2 + sigma * linear1 + r * (linear2 + kappa * sigma), TINY))
    return sigma, r, root


@triton.jit
def _form(w, table, F: tl.constexpr, P: tl.constexpr, m: tl.constexpr):
    """Form m of a table times the weights [videos, P]; ``table`` is a pointer [videos, 1]."""
    i = tl.arange(0, P)[None, :, None]
    j = tl.arange(0, P)[None, None, :]
    a = tl.minimum(i, j)
    at = 3 * (a * F - a * (a - 1) // 2 + tl.maximum(i, j) - a) + m
    # entries off the diagonal are doubled
    share = tl.where(i == j, 1.0, 0.5)
    entry = tl.load(table[:, :, None] + at * LANES, mask=(i < F) & (j < F), other=0.0).to(tl.float64)
    return tl.sum(entry * share * w[:, None, :], 2)


@triton.jit(do_not_specialize=["Q", "V", "ROOM"])
def bound_kernel(
    L, S, ASKED, SIDE, TABLE, LIVE, THETA, Q, V, ROOM, OUT, LARGEST, COUNT, LEFT,
    F: tl.constexpr, P: tl.constexpr, K: tl.constexpr, BV: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Scores from steps, or which videos are left; a program is a query by BV videos, the query fastest.

    L, S int32 [Q, V (F + 1)], ASKED float64 [Q, columns], SIDE float32 [V/16, rows, 16], TABLE [V/16, R, 16], LIVE
    uint8 [V]. With OUT and LARGEST it stores scores as ``keep`` does. With THETA float64 [Q] it appends to LEFT int32
    [ROOM] the live videos that may score THETA or more, each once for a query, and counts them in COUNT int32 [1]. P is
    a power of two from F on.
    """
    TEST: tl.constexpr = OUT is None
    R: tl.constexpr = table_rows(F)
    T: tl.constexpr = 3 * (F * (F + 1) // 2)
    query = tl.program_id(0) % Q
    v = tl.program_id(0) // Q * BV + tl.arange(0, BV)
    video = tl.minimum(v, V - 1)
    block = (video // LANES).to(tl.int64)
    side = SIDE + block * ((2 * F + VIDEO_ROWS) * LANES) + video % LANES
    table = (TABLE + block * (R * LANES) + video % LANES)[:, None]
    own = side + 2 * F * LANES
    asked = ASKED + query * COLUMNS
    i = tl.arange(0, P)[None, :]
    # rows beyond the last frame repeat it and count for nothing
    frame = tl.minimum(i, F - 1)
    inside = i < F
    product = ((query.to(tl.int64) * V + video) * (F + 1))[:, None]

    scale_u = tl.load(asked + SCALE)
    scale_w = tl.load(asked + SCALE + 1)
    tau0 = tl.load(asked + TAU)
    tau1 = tl.load(asked + TAU + 1)
    tau2 = tl.load(asked + TAU + 2)
    kappa = tl.load(asked + TAU + 3)
    step = _of(side[:, None], frame)
    mean_step = _of(own, MEAN_STEP)[:, None]
    logit = tl.where(inside, tl.load(L + product + frame).to(tl.float64) * (scale_u * step), float("-inf"))
    readout = tl.load(S + product + frame).to(tl.float64) * (scale_w * step)
    readout += tl.load(S + product + F).to(tl.float64) * (scale_w * mean_step)
    most = tl.max(logit, 1)[:, None]
    raised = tl.exp(logit - most)
    w = tl.where(inside & (_above(logit, P) < K), raised, 0.0)
    w = w / tl.sum(w, 1)[:, None]

    h0 = _of(table, T + 3 * frame)
    h1 = _of(table, T + 3 * frame + 1)
    h2 = _of(table, T + 3 * frame + 2)
    if K > 1:
        form0 = _form(w, table, F, P, 0)
        form1 = _form(w, table, F, P, 1)
        form2 = _form(w, table, F, P, 2)
        linear0 = tl.sum(h0 * w, 1)[:, None]
        linear1 = tl.sum(h1 * w, 1)[:, None]
        linear2 = tl.sum(h2 * w, 1)[:, None]
        square0 = tl.sum(form0 * w, 1)[:, None]
        square1 = tl.sum(form1 * w, 1)[:, None]
        square2 = tl.sum(form2 * w, 1)[:, None]
        sigma, r, root = _scales(square0, square1, square2, linear0, linear1, linear2, kappa)
        alpha = form0 / sigma
        rho = (form1 + (sigma * h0 + linear0 * alpha) * 0.5) / r
        bent = sigma * h1 + linear1 * alpha + r * h2 + linear2 * rho + kappa * (r * alpha + sigma * rho)
        g = (form2 + bent * 0.5) / root
    else:
        # of every frame alone
        at = 3 * (frame * F - frame * (frame - 1) // 2)
        alpha, rho, g = _scales(_of(table, at), _of(table, at + 1), _of(table, at + 2), h0, h1, h2, kappa)
        sigma = tl.sum(w * alpha, 1)[:, None]
        r = tl.sum(w * rho, 1)[:, None]
        root = tl.sum(w * g, 1)[:, None]

    if not TEST:
        score = tl.sum(w * readout, 1)[:, None] + tau0 + sigma * tau1 + r * tau2
        scores = tl.reshape(numbers(score / root).to(tl.float32), [1, BV])
        keep(scores, query + tl.arange(0, 1), v, Q, V, LIVE, OUT, LARGEST, GROUP)
    else:
        theta = tl.load(THETA + query) + tl.zeros([BV, 1], tl.float64)
        norm_u = tl.load(asked + NORM)
        norm_w = tl.load(asked + NORM + 1)
        rounding = tl.load(asked + ROUNDING)
        error = _of(side[:, None], F + frame)
        lost = norm_u * rounding + tl.load(asked + SLACK) * step + tl.load(asked + WEIGHTS)
        off = tl.where(inside, norm_u * error + lost, 0.0)
        widest = tl.max(off, 1)[:, None]
        up = logit + off
        down = logit - off
        beaten = tl.sum((down[:, None, :] > up[:, :, None]).to(tl.int32), 2)
        # all others that may come before, and not the frame itself
        rivalled = tl.sum((up[:, None, :] >= down[:, :, None]).to(tl.int32), 2) - 1
        surely = inside & (rivalled < K)
        may = inside & (beaten < K)

        sigma_off = _of(own, SIGMA_OFF)[:, None]
        r_off = _of(own, R_OFF)[:, None]
        rest = tl.zeros([BV, 1], tl.float64)
        if K > 1:
            moved = widest * 0.5
            if K < F:
                doubtful = tl.where(surely, 0.0, w)
                candidates = tl.sum(may.to(tl.int32), 1)[:, None] - K
                # what is kept here and may not be, of as many frames as there are candidates beyond K
                moved += tl.minimum(
                    tl.sum(doubtful, 1)[:, None], candidates.to(tl.float64) * tl.max(doubtful, 1)[:, None]
                )
            twice = 2.0 * tl.minimum(moved, 1.0)
            near = twice * twice
            by_sigma = _of(own, SIGMA_EQUAL)[:, None] / sigma
            sigma_off = near * sigma_off * by_sigma
            r_off = near * r_off * tl.maximum(by_sigma, _of(own, R_EQUAL)[:, None] / r)
            bias = tl.load(asked + BIAS)
            to_offset = (linear1 - bias * linear0 + kappa * r) * 0.5 + tl.load(asked + OFFSET) * sigma
            to_bias = (linear2 + kappa * sigma) * 0.5 + bias * r
            rest = (sigma_off * tl.maximum(-to_offset, 0.0) + r_off * tl.abs(to_bias)) / root
        common = tau0 + theta * (rest + _of(own, ROOT_LOST)[:, None])
        common += tl.abs(tau1) * (sigma_off + _of(own, SIGMA_LOST)[:, None])
        common += tl.abs(tau2) * (r_off + _of(own, R_LOST)[:, None])

        x = readout + tau1 * alpha + tau2 * rho - theta * g + common
        slack = norm_w * rounding + tl.load(asked + SLACK + 1) * (step + mean_step) + tl.load(asked + OWN)
        second = 0.5 * off * off * (1.0 + off)
        # one error moves both products, along u by x and along w
        both = x * x * tl.load(asked + SQUARE) + x * tl.load(asked + SQUARE + 1) + tl.load(asked + SQUARE + 2)
        value = x + error * tl.sqrt(tl.maximum(both, 0.0)) + (second + lost) * tl.abs(x) + slack
        value = (value + (off + second) * (norm_w * error + slack)) * raised
        key = tl.where(surely, 1e300, tl.where(may, value, -1e300))
        key = tl.where(inside, key, float("-inf"))
        total = tl.sum(tl.where(inside & (_above(key, P) < K), value, 0.0), 1)[:, None]
        # where forms cancel, float64 doesn't hold either; a threshold below 0 bounds nothing; NaN is left as well
        held = (sigma > _of(own, SIGMA_LEAST)[:, None]) & (r > _of(own, R_LEAST)[:, None])
        held &= (root > _of(own, ROOT_LEAST)[:, None]) & (_of(own, ROOT_OFF)[:, None] < UNBOUNDED)
        below = (total < 0.0) & held & (widest < WIDEST) & (theta >= 0.0)
        live = tl.load(LIVE + v, mask=v < V, other=0) != 0
        left = tl.where(live & (v < V), tl.reshape(tl.where(below, 0, 1), [BV]), 0)
        count = tl.sum(left, 0)
        if count > 0:
            at = tl.atomic_add(COUNT, count, sem="relaxed") + tl.cumsum(left, 0) - left
            tl.store(LEFT + at, v, mask=(left != 0) & (at < ROOM))
