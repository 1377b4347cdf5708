"""Parts of the Triton kernels behind the products: top-K softmax and forms of the table. See ``kernel``.

The compiler's time grows with the number of operations times that of loads, nearly all of them rows of the table: hence
rows that need no reshaping and sums in single ``fma``s.
"""

from __future__ import annotations

# mypy: ignore-errors
import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
TINY = tl.constexpr(1e-30)


@triton.constexpr_function
def table_rows(n):
    """Rows of Gram and linear entries of a video with ``n`` attention entries."""
    return 3 * (n * (n + 1) // 2 + n)


@triton.constexpr_function
def pair_row(i, j, n):
    """First of the three rows of the pair i <= j in the row-major upper triangle."""
    return 3 * (i * n - i * (i - 1) // 2 + j - i)


@triton.constexpr_function
def sorting_network(first, n):
    """Batcher's odd-even merge sort of the places first .. first + n - 1: (x, y), the larger value goes to x."""
    pairs, p = [], 1
    while p < n:
        step = p
        while step:
            for j in range(step % p, n - step, 2 * step):
                for x in range(j, min(j + step, n - step)):
                    if x // (2 * p) == (x + step) // (2 * p):
                        pairs.append((first + x, first + x + step))
            step //= 2
        p *= 2
    return pairs


@triton.constexpr_function
def selection(frames, k):
    """Comparators (x, y, smaller wanted) after which the first k places hold the k largest values, in some order.

    Groups of k are sorted. Of two sorted groups, the larger of each value and its opposite in the other group, counted
    from the other end, are the k largest.
    """
    steps = []
    for first in range(0, frames, k):
        size = min(k, frames - first)
        steps += [(x, y, True) for x, y in sorting_network(first, size)]
        if first:
            steps += [(k - 1 - i, first + i, False) for i in range(size)]
            if first + k < frames:
                steps += [(x, y, True) for x, y in sorting_network(0, k)]
    return tuple(steps)


@triton.jit
def _replace(values, at: tl.constexpr, value):
    return values[:at] + (value,) + values[at + 1 :]  # noqa: RUF005 - the compiler knows no starred tuples


@triton.jit
def _largest(values, K: tl.constexpr):
    """The K largest of a tuple of tensors, elementwise, in some order."""
    STEPS: tl.constexpr = selection(len(values), K)
    for c in tl.static_range(len(STEPS)):
        first = values[STEPS[c][0]]
        second = values[STEPS[c][1]]
        values = _replace(values, STEPS[c][0], tl.maximum(first, second))
        if STEPS[c][2]:
            values = _replace(values, STEPS[c][1], tl.minimum(first, second))
    return values[:K]


@triton.jit
def topk_weights(logits, F: tl.constexpr, K: tl.constexpr):
    """Softmax over the K largest of F tensors before it is normalised, zero elsewhere, and the weights' sum.

    Of equal logits the earlier frame is kept.
    """
    largest = _largest(logits, K) if K < F else logits
    top = largest[0]
    for i in tl.static_range(1, K):
        top = tl.maximum(top, largest[i])
    shift = top * LOG2_E
    weights = ()
    for i in tl.static_range(F):
        weights += (tl.exp2(tl.fma(logits[i], LOG2_E, -shift)),)
    if K < F:
        threshold = largest[0]
        for i in tl.static_range(1, K):
            threshold = tl.minimum(threshold, largest[i])
        # how many are kept so far, counted in float32: a comparison makes 1.0 in one instruction
        count = tl.where(largest[0] > threshold, 1.0, 0.0)
        for i in tl.static_range(1, K):
            count += tl.where(largest[i] > threshold, 1.0, 0.0)
        kept = ()
        for i in tl.static_range(F):
            admitted = tl.where(count < K, threshold, float("inf"))
            kept += (tl.where((logits[i] > threshold) | (logits[i] == admitted), weights[i], 0.0),)
            count += tl.where(logits[i] == threshold, 1.0, 0.0)
        weights = kept
    total = weights[0]
    for i in tl.static_range(1, F):
        total += weights[i]
    return weights, total


@triton.jit
def scaled(weights, scale):
    """Every tensor of a tuple times ``scale``."""
    times = ()
    for i in tl.static_range(len(weights)):
        times += (weights[i] * scale,)
    return times


@triton.jit
def row(table, r: tl.constexpr, LANES: tl.constexpr):
    """Row r [1, videos] of ``table``, a pointer [1, videos]; the tables of LANES videos lie side by side."""
    return tl.load(table + r * LANES)


@triton.jit
def finish(a, total, readout, tau, table, N: tl.constexpr, LANES: tl.constexpr):
    """Scores from the weights ``a`` of all heads (N tensors [queries, videos]) and their readout.

    With one head the weights needn't sum to one: a score is a ratio in which their sum ``total`` cancels, once what
    they don't scale is multiplied by it. With more heads, each with its own sum, they are normalised and it is 1.
    """
    T: tl.constexpr = 3 * (N * (N + 1) // 2)
    for i in tl.static_range(N):
        x = a[i] * row(table, pair_row(i, i, N), LANES)
        y = a[i] * row(table, pair_row(i, i, N) + 1, LANES)
        z = a[i] * row(table, pair_row(i, i, N) + 2, LANES)
        for j in tl.static_range(i + 1, N):
            x = tl.fma(a[j], row(table, pair_row(i, j, N), LANES), x)
            y = tl.fma(a[j], row(table, pair_row(i, j, N) + 1, LANES), y)
            z = tl.fma(a[j], row(table, pair_row(i, j, N) + 2, LANES), z)
        if i == 0:
            A = a[i] * x
            B = a[i] * y
            E = a[i] * z
            c2 = a[i] * row(table, T, LANES)
            c3 = a[i] * row(table, T + 1, LANES)
            c4 = a[i] * row(table, T + 2, LANES)
        else:
            A = tl.fma(a[i], x, A)
            B = tl.fma(a[i], y, B)
            E = tl.fma(a[i], z, E)
            c2 = tl.fma(a[i], row(table, T + 3 * i, LANES), c2)
            c3 = tl.fma(a[i], row(table, T + 3 * i + 1, LANES), c3)
            c4 = tl.fma(a[i], row(table, T + 3 * i + 2, LANES), c4)
    tau0 = tl.load(tau)[:, None]
    tau1 = tl.load(tau + 1)[:, None]
    tau2 = tl.load(tau + 2)[:, None]
    tau3 = tl.load(tau + 3)[:, None]
    tiny = TINY * total * total
    sigma = tl.sqrt(tl.maximum(A, tiny))
    r = tl.sqrt(tl.maximum(B + sigma * c2, tiny))
    e = E + sigma * c3 + r * (c4 + tau3 * sigma)
    return (readout + total * tau0 + sigma * tau1 + r * tau2) * tl.rsqrt(tl.maximum(e, tiny))
