/* From the two products of VL pairs to their scores, one pair a lane. The formula: factorised.py. */
#ifndef FRAMESIFT_EPILOGUE_H
#define FRAMESIFT_EPILOGUE_H

#include "../../csrc/vector.h"

#define TINY 1e-30f

/* Softmax over the k largest of l[0..frames), in place, zero elsewhere; equal logits: the earlier frame is kept. */
INLINE void topk_softmax(vf *l, int frames, int k) {
    vf most = l[0];
    for (int i = 1; i < frames; i++) most = MAX(most, l[i]);
    vi rank[MOST_FRAMES];
    if (k < frames) {
        for (int i = 0; i < frames; i++) rank[i] = (vi){0};
        for (int i = 0; i < frames; i++)
            for (int j = i + 1; j < frames; j++) {
                vi later = l[j] > l[i]; /* -1 where true */
                rank[i] -= later;
                rank[j] += later + 1;
            }
    }
    vf sum = SET1(0.0f);
    for (int i = 0; i < frames; i++) {
        vf e = exp_nonpositive(l[i] - most);
        if (k < frames) e = (vf)((vi)e & (rank[i] < k));
        l[i] = e;
        sum += e;
    }
    vf scale = SET1(1.0f) / sum;
    for (int i = 0; i < frames; i++) l[i] *= scale;
}

/* Scores of VL pairs. l: weights; s: readouts; both [entries].
 * table: where `across` is 1 the rows of VL videos (row r at table + 16 r), else those of one video (row r at table + r). */
INLINE vf weighed_scores(const vf *l, const vf *s, const float *table, const int across, const int entries, const vf *tau) {
    const int step = across ? LANES : 1;
    vf pooled = tau[0];
    for (int n = 0; n < entries; n++) pooled += l[n] * s[n];
    vf form[3] = {SET1(0.0f), SET1(0.0f), SET1(0.0f)}, linear[3] = {SET1(0.0f), SET1(0.0f), SET1(0.0f)};
    const float *g = table;
#define ENTRY(m) (across ? LOAD(g + (m) * LANES) : SET1(g[m]))
    for (int i = 0; i < entries; i++) {
        vf t0 = SET1(0.0f), t1 = t0, t2 = t0;
        for (int j = i; j < entries; j++, g += 3 * step) {
            vf a = l[j];
            t0 += ENTRY(0) * a;
            t1 += ENTRY(1) * a;
            t2 += ENTRY(2) * a;
        }
        form[0] += t0 * l[i];
        form[1] += t1 * l[i];
        form[2] += t2 * l[i];
    }
    for (int i = 0; i < entries; i++, g += 3 * step) {
        linear[0] += ENTRY(0) * l[i];
        linear[1] += ENTRY(1) * l[i];
        linear[2] += ENTRY(2) * l[i];
    }
#undef ENTRY
    const vf tiny = SET1(TINY);
    vf sigma = SQRT(MAX(form[0], tiny));
    vf r = SQRT(MAX(form[1] + sigma * linear[0], tiny));
    vf norm = form[2] + sigma * linear[1] + r * (linear[2] + tau[3] * sigma);
    vf score = (pooled + sigma * tau[1] + r * tau[2]) / SQRT(MAX(norm, tiny));
    return NUMBERS_ONLY(score, SET1(-__builtin_inff()));
}

/* The same from logits, [heads * frames], which become weights. */
INLINE vf pair_scores(vf *l, const vf *s, const float *table, const int across, int frames, int heads, int k,
                      const vf *tau) {
    for (int h = 0; h < heads; h++) topk_softmax(l + h * frames, frames, k);
    return weighed_scores(l, s, table, across, heads * frames, tau);
}

#endif
