/* Four similarities of words, sentences, frames and videos: see reference.py. */
#ifndef FRAMESIFT_MULTI_GRAINED_H
#define FRAMESIFT_MULTI_GRAINED_H

#include "../../csrc/words.h"

/* The six matrices. `frame_mat` is [F, F]; the others, [N, N], are panels of their columns, [panels][N][2 VL], with zeros
 * behind the last column. */
typedef struct {
    const float *word_logit, *frame_logit, *word_mat, *frame_mat, *frame_mat2, *word_mat2;
} matrices;

/* Numbers of such a matrix. */
INLINE int64_t paneled(int64_t n) { return panels_of(n) * n * 2 * VL; }

/* One of them from a matrix [n, n]. */
static const float *panel_of(const float *matrix, int64_t n, float *to) {
    for (int64_t p = 0; p < panels_of(n); p++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t lane = 0; lane < 2 * VL; lane++) {
                const int64_t column = p * 2 * VL + lane;
                to[(p * n + k) * 2 * VL + lane] = column < n ? matrix[k * n + column] : 0.0f;
            }
    return to;
}

/* Attention over n numbers, which have room for whole vectors, zeros behind them: sum_k x_k (softmax(sharpness x) M)_k. */
INLINE float attend_over(const float *x, int64_t n, const float *matrix, float sharpness) {
    const vf top = SET1(largest(x, n));
    float weights[MOST_WORDS + 2 * VL];
    vf sum = SET1(0.0f), total = sum;
    for (int64_t i = 0; i < n; i += VL) {
        vf e = where(first_lanes(n - i), exp_nonpositive((LOAD(x + i) - top) * SET1(sharpness)));
        sum += e;
        STORE(weights + i, e);
    }
    for (int64_t i = 0; i < n; i += 2 * VL, matrix += n * 2 * VL) {
        /* Even and odd terms by themselves, or each sum would wait for the one before. */
        vf mixed[2][2] = {{SET1(0.0f), SET1(0.0f)}, {SET1(0.0f), SET1(0.0f)}};
        for (int64_t k = 0; k < n; k++) {
            const vf weight = SET1(weights[k]);
            mixed[0][k & 1] += weight * LOAD(matrix + k * 2 * VL);
            mixed[1][k & 1] += weight * LOAD(matrix + k * 2 * VL + VL);
        }
        total += (mixed[0][0] + mixed[0][1]) * LOAD(x + i) + (mixed[1][0] + mixed[1][1]) * LOAD(x + i + VL);
    }
    return sum_lanes(total) / sum_lanes(sum);
}

/* Attention of each frame over the words, from similarities [word vectors][F] into out [F]. */
INLINE void over_words(const pairs *j, const vf *similarity, const float *panel, float *out) {
    const int64_t F = j->frames, W = j->words, N = word_vectors(j), stride = N * VL;
    const vf none = SET1(-__builtin_inff());
    float weights[F * stride];
    vf mixed[N * F];
    for (int64_t f = 0; f < F; f++) {
        vf most = none, sum = SET1(0.0f);
        for (int64_t n = 0; n < N; n++) {
            const vi there = words_of(j, n);
            most = MAX(most, where(there, similarity[n * F + f]) + where(~there, none));
        }
        const vf top = SET1(max_lane(most));
        for (int64_t n = 0; n < N; n++) {
            vf e = where(words_of(j, n), exp_nonpositive((similarity[n * F + f] - top) * SET1(j->sharpness)));
            sum += e;
            STORE(weights + f * stride + n * VL, e);
        }
        out[f] = sum_lanes(sum);
    }
    /* A product of the weights [F, W] with the matrix, as of frames with words. */
    for (int64_t p = 0; p < N / 2; p++)
        tiles_shared(F, weights, stride, W, panel + p * W * 2 * VL, mixed + 2 * p * F, mixed + (2 * p + 1) * F);
    for (int64_t f = 0; f < F; f++) {
        vf total = SET1(0.0f);
        for (int64_t n = 0; n < N; n++) total += mixed[n * F + f] * similarity[n * F + f];
        out[f] = sum_lanes(total) / out[f];
    }
}

/* Attention of each word over the frames, into out [word vectors * VL]. */
INLINE void over_frames(const pairs *j, const vf *similarity, const float *matrix, float *out) {
    const int64_t F = j->frames, N = word_vectors(j);
    for (int64_t n = 0; n < N; n++) {
        const vf *v = similarity + n * F;
        vf most = v[0], sum = SET1(0.0f), total = sum, weights[F];
        for (int64_t f = 1; f < F; f++) most = MAX(most, v[f]);
        for (int64_t f = 0; f < F; f++) sum += weights[f] = exp_nonpositive((v[f] - most) * SET1(j->sharpness));
        for (int64_t g = 0; g < F; g++) {
            vf mixed = SET1(0.0f);
            for (int64_t f = 0; f < F; f++) mixed += weights[f] * SET1(matrix[f * F + g]);
            total += mixed * v[g];
        }
        STORE(out + n * VL, where(words_of(j, n), total / sum));
    }
}

INLINE void block_multi_grained(const pairs *j, const some *b, const int storage, const matrices *m, const float *panels,
                                const float *panels_whole, float *frames, float *wholes, float *beside) {
    const int64_t F = j->frames, D = j->width, W = j->words, Q = j->queries, N = word_vectors(j);
    const int64_t panel = panels_of(W) * D * 2 * VL, per_video = F * (D + PAD);
    /* [Q][F + 1 of every video]: its frames with the sentence, and the video with the mixed one. */
    const int64_t stride = LANES * (F + 1);
    for (int k = 0; k < b->count; k++) {
        const int64_t v = row_of(b, k);
        widen(stored(j->frame_vectors, v, F * D, storage), F, D, storage, frames + k * per_video);
        widen(stored(j->whole, v, D, storage), 1, D, storage, wholes + k * (D + PAD));
        rows_by_queries(frames + k * per_video, (int)F, D, j->sentence, Q, beside + k * F, stride);
    }
    rows_by_queries(wholes, b->count, D, j->sentence_whole, Q, beside + LANES * F, stride);
    for (int64_t q = 0; q < Q; q++) {
        vf video_words[N * LANES];
        for (int64_t p = 0; p < N / 2; p++)
            tiles_shared(b->count, wholes, D + PAD, D, panels_whole + q * panel + p * D * 2 * VL,
                  video_words + 2 * p * LANES, video_words + (2 * p + 1) * LANES);
        float scores[LANES];
        for (int k = 0; k < b->count; k++) {
            vf similarity[N * F];
            if (q + 1 < Q) {
                ask_for_words(j, panels + (q + 1) * panel, k);
                ask_for_words(j, panels_whole + (q + 1) * panel, k);
            }
            float words[N * VL], by_word[N * VL], by_frame[MOST_FRAMES + 2 * VL] = {0}, with_sentence[MOST_FRAMES + 2 * VL] = {0};
            similarities(j, frames + k * per_video, panels + q * panel, similarity);
            over_words(j, similarity, m->word_mat, by_frame);
            over_frames(j, similarity, m->frame_mat, by_word);
            for (int64_t n = 0; n < N; n++) STORE(words + n * VL, video_words[n * LANES + k]);
            memcpy(with_sentence, beside + q * stride + k * F, F * 4);
            const float fine = (attend_over(by_frame, F, m->frame_mat2, j->sharpness) +
                                attend_over(by_word, W, m->word_mat2, j->sharpness)) / 2;
            const float rest = attend_over(words, W, m->word_logit, j->sharpness) +
                               attend_over(with_sentence, F, m->frame_logit, j->sharpness);
            scores[b->lane[k]] = number(j->scale * (beside[q * stride + LANES * F + k] + rest + fine) / 4);
        }
        take(&j->walk, q, b, scores);
    }
}

INLINE int multi_grained_scan(const pairs *j, const int storage) {
    const int64_t F = j->frames, D = j->width, W = j->words, Q = j->queries, panel = panels_of(W) * D * 2 * VL;
    const int64_t floats[] = {paneled(W), paneled(F), paneled(W), paneled(F), paneled(W), Q * panel, Q * panel,
                              LANES * F * (D + PAD), LANES * (D + PAD), Q * LANES * (F + 1)};
    enum { PARTS = sizeof floats / sizeof *floats };
    float *at[PARTS + 1] = {0};
    int64_t all = 0;
    for (int i = 0; i < PARTS; i++) all += (floats[i] + 15) / 16 * 16;
    if (!(at[0] = workspace(all))) return 1;
    for (int i = 0; i < PARTS; i++) at[i + 1] = at[i] + (floats[i] + 15) / 16 * 16;
    const float *given = j->matrices;
    const matrices m = {.word_logit = panel_of(given, W, at[0]),
                        .frame_logit = panel_of(given + W * W, F, at[1]),
                        .word_mat = panel_of(given + W * W + F * F, W, at[2]),
                        .frame_mat = given + 2 * W * W + F * F,
                        .frame_mat2 = panel_of(given + 2 * W * W + 2 * F * F, F, at[3]),
                        .word_mat2 = panel_of(given + 2 * W * W + 3 * F * F, W, at[4])};
    pack_words(j, j->text, at[5]);
    pack_words(j, j->words_whole, at[6]);
    some found[CHUNK];
    for (int64_t count; (count = take_blocks(&j->walk, found)) >= 0;)
        for (int64_t b = 0; b < count; b++)
            block_multi_grained(j, found + b, storage, &m, at[5], at[6], at[7], at[8], at[9]);
    free(at[0]);
    return 0;
}

EXPORTED int framesift_multi_grained(const pairs *j) { FLOATING(multi_grained_scan(j, storage)) }

#endif
