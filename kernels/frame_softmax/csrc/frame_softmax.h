/* A sum of similarities weighted by a softmax over frames: see reference.py. */
#ifndef FRAMESIFT_FRAME_SOFTMAX_H
#define FRAMESIFT_FRAME_SOFTMAX_H

#include "../../csrc/pairs.h"

/* Scores of VL pairs, one a lane, from their similarities s [F]. Frame f's mask is the vector at mask + f * step, or, where
 * `across` is 0, the number there. */
INLINE vf frame_softmax(const vf *s, const float *mask, const int across, int64_t step, int64_t frames, float sharpness) {
#define MASK(f) (across ? LOAD(mask + (f) * step) : SET1(mask[(f) * step]))
    vf squares = SET1(0.0f), most = SET1(-__builtin_inff());
    for (int64_t f = 0; f < frames; f++) {
        vf masked = s[f] * MASK(f);
        squares += masked * masked;
        vi counts = MASK(f) != SET1(0.0f);
        most = MAX(most, where(counts, masked) + where(~counts, SET1(-__builtin_inff())));
    }
    vf scale = SET1(sharpness) / SQRT(squares), sum = SET1(0.0f), total = SET1(0.0f);
    for (int64_t f = 0; f < frames; f++) {
        vf e = where(MASK(f) != SET1(0.0f), exp_nonpositive((s[f] * MASK(f) - most) * scale));
        sum += e;
        total += e * s[f];
    }
    /* Without a frame that counts, or of length zero, it is not a number, as the formula's. */
    return NUMBERS_ONLY(total / sum + SET1(0.0f) * scale, SET1(-__builtin_inff()));
#undef MASK
}

/* The masks of a block's videos as [F][LANES], or, where `video_first`, as [LANES][F]. */
INLINE void masks_of(const pairs *j, const some *b, const int storage, const int video_first, float *masks) {
    const int64_t F = j->frames;
    for (int k = 0; k < b->count; k++) {
        const char *from = stored(j->mask, row_of(b, k), F, storage);
        for (int64_t f = 0; f < F; f++)
            masks[video_first ? k * F + f : f * LANES + b->lane[k]] = number_at(from, f, storage);
    }
}

/* Few queries, two at a time: a lane is a video, and every frame is read once in the order of its address. */
INLINE void frame_softmax_few(const pairs *j, const some *b, const some *after, const int storage, float *work) {
    const int64_t F = j->frames, D = j->width, row = D * bytes_of(storage), products = F * LANES;
    float masks[MOST_FRAMES * LANES] = {0};
    masks_of(j, b, storage, 0, masks);
    for (int k = 0; k < b->count; k++) {
        const int64_t v = row_of(b, k), next = k + 1 < b->count ? row_of(b, k + 1) : after ? row_of(after, 0) : v + 1;
        const char *x = stored(j->frame_vectors, v, F * D, storage), *then = stored(j->frame_vectors, next, F * D, storage);
        const int64_t far = next == v + 1 ? AHEAD : 0;
        for (int64_t q = 0; q < j->queries; q += 2) {
            const float *u = j->text + q * D, *w = q + 1 < j->queries ? u + D : u;
            float *l = work + q * products + b->lane[k];
            for (int64_t f = 0; f < F; f += 4) {
                const char *ahead = (f + 4 < F ? x + (f + 4) * row : then + (f + 4 - F) * row) + far;
                DOTS_FOR(shared, storage)[F - f < 4 ? F - f : 4](x + f * row, 0, ahead, D, D, u, w, l + f * LANES,
                                                                  l + products + f * LANES);
            }
        }
    }
    for (int64_t q = 0; q < j->queries; q++) {
        float scores[LANES];
        for (int64_t half = 0; half < LANES; half += VL) {
            vf s[F];
            for (int64_t f = 0; f < F; f++) s[f] = LOAD(work + q * products + f * LANES + half);
            STORE(scores + half, frame_softmax(s, masks + half, 1, LANES, F, j->sharpness));
        }
        take(&j->walk, q, b, scores);
    }
}

/* Many queries: a lane is a query. */
INLINE void frame_softmax_many(const pairs *j, const some *b, const int storage, const float *panels, float *staged) {
    const int64_t F = j->frames, D = j->width;
    float masks[MOST_FRAMES * LANES];
    masks_of(j, b, storage, 1, masks);
    for (int k = 0; k < b->count; k++)
        widen(stored(j->frame_vectors, row_of(b, k), F * D, storage), F, D, storage, staged + k * F * (D + PAD));
    for (int64_t p = 0; p < panels_of(j->queries); p++) {
        float lanes[LANES][2 * VL];
        for (int k = 0; k < b->count; k++) {
            vf s[2][F];
            const float *frames = staged + k * F * (D + PAD);
            tiles_shared(F, frames, D + PAD, D, panels + p * D * 2 * VL, s[0], s[1]);
            for (int half = 0; half < 2; half++)
                STORE(lanes[b->lane[k]] + half * VL, frame_softmax(s[half], masks + k * F, 0, 1, F, j->sharpness));
        }
        for (int64_t i = 0; i < 2 * VL && p * 2 * VL + i < j->queries; i++) {
            float scores[LANES];
            for (int k = 0; k < b->count; k++) scores[b->lane[k]] = lanes[b->lane[k]][i];
            take(&j->walk, p * 2 * VL + i, b, scores);
        }
    }
}

INLINE int frame_softmax_scan(const pairs *j, const int storage) {
    const int64_t F = j->frames, D = j->width, packed = panels_of(j->queries) * D * 2 * VL;
    const int many = j->queries >= MANY;
    /* Queries go in pairs, so there is room for one more. */
    const int64_t floats = many ? packed + LANES * F * (D + PAD) : (j->queries + 1) * F * LANES;
    float *work = workspace(floats);
    if (!work) return 1;
    if (many) pack_panels(j->text, j->queries, D, work);
    else memset(work, 0, floats * 4);
    some found[CHUNK];
    for (int64_t count; (count = take_blocks(&j->walk, found)) >= 0;)
        for (int64_t b = 0; b < count; b++)
            if (many) frame_softmax_many(j, found + b, storage, work, work + packed);
            else frame_softmax_few(j, found + b, b + 1 < count ? found + b + 1 : 0, storage, work);
    free(work);
    return 0;
}

EXPORTED int framesift_frame_softmax(const pairs *j) { FLOATING(frame_softmax_scan(j, storage)) }

#endif
