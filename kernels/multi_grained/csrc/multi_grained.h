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

/* The products of a block's videos, [LANES, width] as they are staged, with the words of a text, [word vectors][LANES]. */
INLINE void words_of_videos(const pairs *j, int count, const int matrix, const float *wholes, const float *panels,
                            vf *found) {
    const int64_t D = j->width, half = LANES / 2;
    if (matrix) {
        const uint16_t *x = (const uint16_t *)wholes;
        tile_rows(half);
        products_of_two(x, x + half * D, LANES * D, D, (const uint16_t *)panels, word_vectors(j), found, found + half, LANES);
        tiles_of_frames(j, matrix);
        return;
    }
    for (int64_t p = 0; p < panels_of(j->words); p++, found += 2 * LANES)
        tiles_shared(count, wholes, D + PAD, D, panels + p * D * 2 * VL, found, found + LANES);
}

/* The score of one pair: from its similarities, the video with the words, and what stands `beside` a text: the video's
 * frames with the sentence, and the video with the mixed one. */
INLINE float score_multi_grained(const pairs *j, const matrices *m, const vf *similarity, const vf *video_words,
                                 const float *with_frames, float with_video) {
    const int64_t F = j->frames, W = j->words, N = word_vectors(j);
    float words[N * VL], by_word[N * VL], by_frame[MOST_FRAMES + 2 * VL] = {0}, with_sentence[MOST_FRAMES + 2 * VL] = {0};
    over_words(j, similarity, m->word_mat, by_frame);
    over_frames(j, similarity, m->frame_mat, by_word);
    for (int64_t n = 0; n < N; n++) STORE(words + n * VL, video_words[n * LANES]);
    memcpy(with_sentence, with_frames, F * 4);
    const float fine = (attend_over(by_frame, F, m->frame_mat2, j->sharpness) +
                        attend_over(by_word, W, m->word_mat2, j->sharpness)) / 2;
    const float rest = attend_over(words, W, m->word_logit, j->sharpness) +
                       attend_over(with_sentence, F, m->frame_logit, j->sharpness);
    return number(j->scale * (with_video + rest + fine) / 4);
}

/* A block's frames and videos, staged, and their products with the sentences of all texts: of each text [stride], the
 * frames of every video, and then the videos. */
INLINE void stage_block(const pairs *j, const some *b, const int storage, const int matrix, const float *sentences,
                        const float *sentences_whole, float *frames, float *wholes, float *beside, int64_t stride) {
    const int64_t F = j->frames, D = j->width, Q = j->queries, per_video = F * (D + PAD), half = LANES / 2;
    for (int k = 0; k < b->count; k++) {
        const char *whole = stored(j->whole, row_of(b, k), D, storage);
        float *x = frames + k * per_video;
        stage_frames(j, stored(j->frame_vectors, row_of(b, k), F * D, storage), storage, matrix, x);
        if (matrix) split_frames((const uint16_t *)whole, D, (uint16_t *)wholes + k * D, LANES * D);
        else widen(whole, 1, D, storage, wholes + k * (D + PAD));
        if (!matrix) rows_by_queries(x, (int)F, D, j->sentence, Q, beside + k * F, stride);
    }
    if (!matrix) {
        rows_by_queries(wholes, b->count, D, j->sentence_whole, Q, beside + LANES * F, stride);
        return;
    }
    const int64_t rows = F / row_groups(F);
    for (int k = 0; k < b->count; k += 2) {
        const int next = k + 1 < b->count ? k + 1 : k;
        for (int64_t at = 0; at < F; at += rows)
            rows_by_sentences(j, rows, (const uint16_t *)(frames + k * per_video) + at * D,
                              (const uint16_t *)(frames + next * per_video) + at * D, F * D, sentences,
                              beside + k * F + at, beside + next * F + at, stride);
    }
    const uint16_t *x = (const uint16_t *)wholes;
    tile_rows(half);
    rows_by_sentences(j, half, x, x + half * D, LANES * D, sentences_whole, beside + LANES * F, beside + LANES * F + half,
                      stride);
    tiles_of_frames(j, matrix);
}

INLINE void block_multi_grained(const pairs *j, const some *b, const int storage, const int matrix, const matrices *m,
                                float *const *at) {
    const float *panels = at[5], *panels_whole = at[6];
    float *frames = at[7], *wholes = at[8], *beside = at[9];
    const int64_t F = j->frames, D = j->width, W = j->words, Q = j->queries, N = word_vectors(j);
    const int64_t panel = panels_of(W) * D * 2 * VL, per_video = F * (D + PAD);
    /* [Q][F + 1 of every video]: its frames with the sentence, and the video with the mixed one. */
    const int64_t stride = LANES * (F + 1);
    stage_block(j, b, storage, matrix, at[10], at[11], frames, wholes, beside, stride);
    for (int64_t q = 0; q < Q; q++, beside += stride) {
        vf video_words[N * LANES];
        words_of_videos(j, b->count, matrix, wholes, panels_whole + q * panel, video_words);
        float scores[LANES];
        for (int k = 0; k < b->count; k += 2) {
            vf of_x[N * F], of_y[N * F];
            const float *x = frames + k * per_video, *y = k + 1 < b->count ? x + per_video : x;
            for (int part = k; q + 1 < Q && part < k + 2; part++) {
                ask_for_words(j, panels + (q + 1) * panel, part);
                ask_for_words(j, panels_whole + (q + 1) * panel, part);
            }
            similarities(j, matrix, x, y, panels + q * panel, of_x, of_y);
            for (int i = k; i < k + 2 && i < b->count; i++)
                scores[b->lane[i]] = score_multi_grained(j, m, i == k ? of_x : of_y, video_words + i, beside + i * F,
                                                         beside[LANES * F + i]);
        }
        take(&j->walk, q, b, scores);
    }
}

INLINE int multi_grained_scan(const pairs *j, const int storage) {
    const int64_t F = j->frames, D = j->width, W = j->words, Q = j->queries, panel = panels_of(W) * D * 2 * VL;
    const int matrix = by_matrix(j, storage);
    const int64_t floats[] = {paneled(W), paneled(F), paneled(W), paneled(F), paneled(W), Q * panel, Q * panel,
                              LANES * F * (D + PAD), LANES * (D + PAD), Q * LANES * (F + 1),
                              matrix * panels_of(Q) * D * 2 * VL, matrix * panels_of(Q) * D * 2 * VL};
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
    pack_words(j, j->text, matrix, at[5]);
    pack_words(j, j->words_whole, matrix, at[6]);
    if (matrix) {
        pack_sentences(j, j->sentence, at[10]);
        pack_sentences(j, j->sentence_whole, at[11]);
    }
    tiles_of_frames(j, matrix);
    some found[CHUNK];
    for (int64_t count; (count = take_blocks(&j->walk, found)) >= 0;)
        for (int64_t b = 0; b < count; b++)
            block_multi_grained(j, found + b, storage, matrix, &m, at);
    if (matrix) release_tiles();
    free(at[0]);
    return 0;
}

EXPORTED int framesift_multi_grained(const pairs *j) { FLOATING(multi_grained_scan(j, storage)) }

#endif
