/* Words and frames pooled both ways by softmaxes of their similarities: see reference.py. */
#ifndef FRAMESIFT_TOKEN_FRAME_H
#define FRAMESIFT_TOKEN_FRAME_H

#include "../../csrc/words.h"

/* Softmax-weighted sum of all lanes of n vectors; exact zeros take no part, and where all are zero it is zero. */
INLINE float pool(const vf *x, int64_t step, int64_t n, float sharpness) {
    const vf none = SET1(-__builtin_inff());
    vf most = none;
    for (int64_t i = 0; i < n; i++) {
        vi absent = x[i * step] == SET1(0.0f);
        most = MAX(most, where(~absent, x[i * step]) + where(absent, none));
    }
    const vf top = SET1(max_lane(most));
    vf sum = SET1(0.0f), total = SET1(0.0f);
    for (int64_t i = 0; i < n; i++) {
        vf v = x[i * step], e = where(v != SET1(0.0f), exp_nonpositive((v - top) * SET1(sharpness)));
        sum += e;
        total += e * v;
    }
    const float all = sum_lanes(sum);
    return all == 0 ? 0 : sum_lanes(total) / all;
}

/* Softmax-weighted sum of the first n numbers of x, which has room for whole vectors. */
INLINE float weighted(const float *x, int64_t n, float sharpness) {
    const vf top = SET1(largest(x, n));
    vf sum = SET1(0.0f), total = sum;
    for (int64_t i = 0; i < n; i += VL) {
        vf v = where(first_lanes(n - i), LOAD(x + i));
        vf e = where(first_lanes(n - i), exp_nonpositive((v - top) * SET1(sharpness)));
        sum += e;
        total += e * v;
    }
    return sum_lanes(total) / sum_lanes(sum);
}

/* The score of one pair from its similarities [word vectors][F]. */
INLINE float token_frame(const pairs *j, const vf *similarity) {
    const int64_t F = j->frames, N = word_vectors(j);
    const vf sharpness = SET1(j->sharpness);
    vf per_word[N];
    for (int64_t n = 0; n < N; n++) {
        const vf *v = similarity + n * F;
        vf most = v[0], sum = SET1(0.0f), total = sum;
        for (int64_t f = 1; f < F; f++) most = MAX(most, v[f]);
        for (int64_t f = 0; f < F; f++) {
            vf e = exp_nonpositive((v[f] - most) * sharpness);
            sum += e;
            total += e * v[f];
        }
        per_word[n] = total / sum;
    }
    float per_frame[MOST_FRAMES];
    for (int64_t f = 0; f < F; f++) per_frame[f] = pool(similarity + f, F, N, j->sharpness);
    for (int64_t f = F; f < MOST_FRAMES; f++) per_frame[f] = 0;
    return number((pool(per_word, 1, N, j->sharpness) + weighted(per_frame, F, j->sharpness)) / 2);
}

INLINE int token_frame_scan(const pairs *j, const int storage) {
    const int64_t F = j->frames, D = j->width, Q = j->queries, panel = panels_of(j->words) * D * 2 * VL;
    float *panels = workspace(Q * panel + LANES * F * (D + PAD));
    if (!panels) return 1;
    float *staged = panels + Q * panel;
    const int matrix = by_matrix(j, storage);
    pack_words(j, j->text, matrix, panels);
    tiles_of_frames(j, matrix);
    some found[CHUNK];
    for (int64_t count; (count = take_blocks(&j->walk, found)) >= 0;)
        for (const some *b = found; b < found + count; b++) {
            for (int k = 0; k < b->count; k++)
                stage_frames(j, stored(j->frame_vectors, row_of(b, k), F * D, storage), storage, matrix,
                             staged + k * F * (D + PAD));
            for (int64_t q = 0; q < Q; q++) {
                float scores[LANES];
                for (int k = 0; k < b->count; k += 2) {
                    vf of_x[word_vectors(j) * F], of_y[word_vectors(j) * F];
                    const float *x = staged + k * F * (D + PAD), *y = k + 1 < b->count ? x + F * (D + PAD) : x;
                    for (int part = k; q + 1 < Q && part < k + 2; part++) ask_for_words(j, panels + (q + 1) * panel, part);
                    similarities(j, matrix, x, y, panels + q * panel, of_x, of_y);
                    scores[b->lane[k]] = token_frame(j, of_x);
                    if (y != x) scores[b->lane[k + 1]] = token_frame(j, of_y);
                }
                take(&j->walk, q, b, scores);
            }
        }
    if (matrix) release_tiles();
    free(panels);
    return 0;
}

EXPORTED int framesift_token_frame(const pairs *j) { FLOATING(token_frame_scan(j, storage)) }

#endif
