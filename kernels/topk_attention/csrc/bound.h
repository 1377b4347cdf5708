/* Whether videos can have a score of at least a threshold, from the products of their steps: 16 at once, a lane each.
 * The proof: certified/reference.py, which says the same in float64. */

#ifndef FRAMESIFT_BOUND_H
#define FRAMESIFT_BOUND_H

#include "asked.h"
#include "epilogue.h"

/* What float32 takes from the forms, in gradients, times theta and a quarter; certified/gradients.py says the same. */
#define FORMS 1.6e-5f
#define LEAST 0.25f
/* And from a video's terms, in terms. */
#define TERMS 2e-6f
/* Videos with such a remainder are ones that the forms say nothing of. */
#define UNBOUNDED 1e14f
/* Beyond it the series of exp doesn't hold. */
#define WIDEST 3.0f

#define SELECT(mask, x, other) ((vf)(((vi)(x) & (mask)) | ((vi)(other) & ~(mask))))
#define ABSOLUTE(x) ((vf)((vi)(x) & 0x7fffffff))

/* Rows of the side table, each [16]: of every frame, then of the video. */
#define STEP_OF(side, i) LOAD((side) + (i) * LANES)
#define ERROR_OF(side, i) LOAD((side) + (F + (i)) * LANES)
#define ALPHA_OF(side, i) LOAD((side) + (2 * F + (i)) * LANES)
#define RHO_OF(side, i) LOAD((side) + (3 * F + (i)) * LANES)
#define GRADIENT_OF(side, i) LOAD((side) + (4 * F + (i)) * LANES)
#define MEAN_STEP(side) LOAD((side) + 5 * F * LANES)
#define SIGMA_OFF(side) LOAD((side) + (5 * F + 1) * LANES)
#define R_OFF(side) LOAD((side) + (5 * F + 2) * LANES)
#define ROOT_OFF(side) LOAD((side) + (5 * F + 3) * LANES)

/* What rounding may have done to the products of a frame, beyond its stored error. */
#define LOGIT_SLACK(a, side, i) (SET1((a)->norm[0] * (a)->rounding) + SET1((a)->slack[0]) * STEP_OF(side, i))
#define READOUT_SLACK(a, side, i) \
    (SET1((a)->norm[1] * (a)->rounding) + SET1((a)->slack[1]) * (STEP_OF(side, i) + MEAN_STEP(side)))

/* The frames' logits, how far they may be off, and by how many others each is surely, and possibly, beaten. */
typedef struct {
    vf logit[MOST_FRAMES], off[MOST_FRAMES], most, widest;
    vi beaten[MOST_FRAMES], rivalled[MOST_FRAMES];
} standing;

INLINE void stand(const int F, const int K, const float *l, const float *side, const asked *a, standing *t) {
    t->most = SET1(-__builtin_inff());
    t->widest = SET1(0.0f);
    for (int i = 0; i < F; i++) {
        t->logit[i] = LOAD(l + i * LANES) * STEP_OF(side, i);
        t->off[i] = SET1(a->norm[0]) * ERROR_OF(side, i) + LOGIT_SLACK(a, side, i);
        t->most = MAX(t->most, t->logit[i]);
        t->widest = MAX(t->widest, t->off[i]);
        t->beaten[i] = t->rivalled[i] = (vi){0};
    }
    if (K < F)
        for (int i = 0; i < F; i++)
            for (int j = i + 1; j < F; j++) {
                const vf up_i = t->logit[i] + t->off[i], up_j = t->logit[j] + t->off[j];
                const vf down_i = t->logit[i] - t->off[i], down_j = t->logit[j] - t->off[j];
                t->beaten[i] -= down_j > up_i;
                t->beaten[j] -= down_i > up_j;
                t->rivalled[i] -= up_j >= down_i;
                t->rivalled[j] -= up_i >= down_j;
            }
}

/* The most that the sum of the kept frames' weights times x may be, each with the errors of its products. */
INLINE vf weigh(const int F, const int K, const standing *t, const vf *x, const float *side, const asked *a) {
    vf value[F];
    for (int i = 0; i < F; i++) {
        const vf e = t->off[i], d = ERROR_OF(side, i), slack = READOUT_SLACK(a, side, i);
        const vf second = SET1(0.5f) * e * e * (SET1(1.0f) + e);
        /* One error moves both products, along u by x and along w. */
        const vf both = x[i] * x[i] * SET1(a->square[0]) + x[i] * SET1(a->square[1]) + SET1(a->square[2]);
        const vf other = second + LOGIT_SLACK(a, side, i) + SET1(TERMS);
        value[i] = x[i] + d * SQRT(MAX(both, SET1(0.0f))) + other * ABSOLUTE(x[i]) + slack +
                   (e + second) * (SET1(a->norm[1]) * d + slack);
        value[i] *= exp_nonpositive(t->logit[i] - t->most);
    }
    vf sum = SET1(0.0f);
    if (K == F) {
        for (int i = 0; i < F; i++) sum += value[i];
        return sum;
    }
    /* All that are surely kept, and of the others that may be as many of the largest as there are places left. */
    vf key[F];
    vi rank[F];
    for (int i = 0; i < F; i++) {
        const vi may = t->beaten[i] < K, surely = t->rivalled[i] < K;
        key[i] = SELECT(surely, SET1(1e30f), SELECT(may, value[i], SET1(-1e30f)));
        rank[i] = (vi){0};
    }
    for (int i = 0; i < F; i++)
        for (int j = i + 1; j < F; j++) {
            const vi later = key[j] > key[i];
            rank[i] -= later;
            rank[j] += later + 1;
        }
    for (int i = 0; i < F; i++) sum += (vf)((vi)value[i] & (rank[i] < K));
    return sum;
}

/* Bits of the lanes that may reach the threshold, and how far they may. A score s >= theta leaves a sum of at least
 * (s - theta) times the least sqrt(E) times the largest weight; what is not a number is left as well. */
INLINE unsigned left_over(vf sum, float theta, vf least, const standing *t, const float *side, const int F, float *upper) {
    const vf reach = (SET1(1.0f) - t->widest) * least;
    const vi bounded = ROOT_OFF(side) < SET1(UNBOUNDED), known = (reach > SET1(0.0f)) & bounded;
    STORE(upper, SELECT(known, SET1(theta) + sum / SELECT(known, reach, SET1(1.0f)), SET1(__builtin_inff())));
    return BITS(~(sum < SET1(0.0f)) | (t->widest > SET1(WIDEST)) | ~bounded);
}

/* With the gradient at equal weights, which needs no table. l, s: [F + 1][16]. */
INLINE unsigned free_test(const int F, const int K, const float *l, const float *s, const float *side, const asked *a,
                          float theta, float *upper) {
    unsigned left = 0;
    for (int half = 0; half < LANES; half += VL, l += VL, s += VL, side += VL) {
        const vf rest = ROOT_OFF(side);
        const vf common = SET1(a->tau[0]) + LOAD(s + F * LANES) * MEAN_STEP(side) + rest * SET1(LEAST + theta) +
                          SIGMA_OFF(side) * SET1(__builtin_fabsf(a->tau[1])) + R_OFF(side) * SET1(__builtin_fabsf(a->tau[2]));
        vf x[F];
        vi open = {0};
        for (int i = 0; i < F; i++) {
            x[i] = LOAD(s + i * LANES) * STEP_OF(side, i) + common + SET1(a->tau[1]) * ALPHA_OF(side, i) +
                   SET1(a->tau[2]) * RHO_OF(side, i) - SET1(theta) * GRADIENT_OF(side, i);
            const vf off = SET1(a->norm[1]) * ERROR_OF(side, i) + READOUT_SLACK(a, side, i);
            open |= ~(x[i] + off < SET1(0.0f));
        }
        if (!BITS(open)) continue;
        standing t;
        stand(F, K, l, side, a, &t);
        vf least = GRADIENT_OF(side, 0);
        for (int i = 1; i < F; i++) least = MIN(least, GRADIENT_OF(side, i));
        left |= (left_over(weigh(F, K, &t, x, side, a), theta, least - rest, &t, side, F, upper + half) & BITS(open))
                << half;
    }
    return left;
}

/* With the gradient at the softmax of the logits at hand, from the Gram table: sharper to second order. */
static __attribute__((noinline)) unsigned tables_test(const int F, const int K, const float *l, const float *s,
                                                      const float *side, const float *table, const asked *a, float theta,
                                                      float *upper) {
    unsigned left = 0;
    const vf half_ = SET1(0.5f), tiny = SET1(TINY);
    for (int half = 0; half < LANES; half += VL, l += VL, s += VL, side += VL, table += VL) {
        standing t;
        stand(F, K, l, side, a, &t);
        vf w[F], form[3][F], x[F];
        for (int i = 0; i < F; i++) {
            w[i] = t.logit[i];
            for (int m = 0; m < 3; m++) form[m][i] = SET1(0.0f);
        }
        topk_softmax(w, F, K);
        const float *g = table;
        for (int i = 0; i < F; i++)
            for (int j = i; j < F; j++, g += 3 * LANES)
                for (int m = 0; m < 3; m++) {
                    /* Entries off the diagonal are doubled. */
                    vf entry = LOAD(g + m * LANES);
                    if (i != j) {
                        entry *= half_;
                        form[m][j] += entry * w[i];
                    }
                    form[m][i] += entry * w[j];
                }
        vf square[3] = {SET1(0.0f), SET1(0.0f), SET1(0.0f)}, linear[3] = {SET1(0.0f), SET1(0.0f), SET1(0.0f)};
        vf doubtful = SET1(0.0f), largest = SET1(0.0f), first = SET1(0.0f), second = SET1(0.0f);
        vi candidates = {0};
        for (int i = 0; i < F; i++) {
            for (int m = 0; m < 3; m++) {
                square[m] += form[m][i] * w[i];
                linear[m] += LOAD(g + (3 * i + m) * LANES) * w[i];
            }
            const vf own = (vf)((vi)w[i] & ~(t.rivalled[i] < K));
            doubtful += own;
            largest = MAX(largest, own);
            candidates -= t.beaten[i] < K;
            first += ALPHA_OF(side, i);
            second += RHO_OF(side, i);
        }
        /* The mass that may lie on other frames: what errors tilt, and what is kept here and may not be, which is at most
         * as many frames as there are candidates beyond K. */
        const vf others = CONVERT(candidates - K) * largest;
        const vf moved = half_ * t.widest + (K < F ? MIN(doubtful, others) : SET1(0.0f));
        const vf twice = SET1(2.0f) * MIN(moved, SET1(1.0f)), kappa = SET1(a->tau[3]);
        const vf sigma = SQRT(MAX(square[0], tiny)), r = SQRT(MAX(square[1] + sigma * linear[0], tiny));
        const vf root = SQRT(MAX(square[2] + sigma * linear[1] + r * (linear[2] + kappa * sigma), tiny));
        /* How far sigma and r are from linear, as at equal weights: their parts have sigma or r below them. */
        const vf share = SET1(1.0f / (float)F), near = twice * twice, by_sigma = first * share / sigma;
        const vf sigma_off = near * SIGMA_OFF(side) * by_sigma, r_off = near * R_OFF(side) * MAX(by_sigma, second * share / r);
        const vf to_offset = half_ * (linear[1] - SET1(a->biases[1]) * linear[0] + kappa * r) + SET1(a->biases[0]) * sigma;
        const vf to_bias = half_ * (linear[2] + kappa * sigma) + SET1(a->biases[1]) * r;
        const vf rest = (sigma_off * MAX(-to_offset, SET1(0.0f)) + r_off * ABSOLUTE(to_bias)) / root;
        vf most = SET1(0.0f), least = SET1(__builtin_inff()), gradient[F];
        for (int i = 0; i < F; i++) {
            const vf h0 = LOAD(g + 3 * i * LANES), h1 = LOAD(g + (3 * i + 1) * LANES), h2 = LOAD(g + (3 * i + 2) * LANES);
            const vf alpha = form[0][i] / sigma;
            const vf rho = (form[1][i] + half_ * (sigma * h0 + linear[0] * alpha)) / r;
            gradient[i] = (form[2][i] + half_ * (sigma * h1 + linear[1] * alpha + r * h2 + linear[2] * rho +
                                                 kappa * (r * alpha + sigma * rho))) / root;
            x[i] = LOAD(s + i * LANES) * STEP_OF(side, i) + SET1(a->tau[1]) * alpha + SET1(a->tau[2]) * rho -
                   SET1(theta) * gradient[i];
            most = MAX(most, ABSOLUTE(gradient[i]));
            least = MIN(least, gradient[i]);
        }
        const vf all = rest + SET1(FORMS) * most;
        const vf common = SET1(a->tau[0]) + LOAD(s + F * LANES) * MEAN_STEP(side) + all * SET1(LEAST + theta) +
                          sigma_off * SET1(__builtin_fabsf(a->tau[1])) + r_off * SET1(__builtin_fabsf(a->tau[2]));
        for (int i = 0; i < F; i++) x[i] += common;
        left |= left_over(weigh(F, K, &t, x, side, a), theta, least - all, &t, side, F, upper + half) << half;
    }
    return left;
}

#endif
