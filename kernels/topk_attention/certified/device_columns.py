"""Where the bound's kernel finds what it is told of a query and of a video: see ``bound_kernel``."""

from __future__ import annotations

# Columns of a query, float64: what an integer of u and of w is; |u| and |w|; |u|^2, 2 u.w and |w|^2; what rounding u
# and w to integers takes from a product, in steps; the scalars tau; what float16 products may be off, in norms; what
# sums in float32 take from a term; what weights are off; and the checkpoint's |gain_3 n|^2 and |bias_3|^2.
SCALE, NORM, SQUARE, SLACK, TAU, ROUNDING, OWN, WEIGHTS, OFFSET, BIAS = 0, 2, 4, 7, 9, 13, 14, 15, 16, 17
COLUMNS = 18

# Rows of a video, float32, behind F step sizes and F lengths of errors: the mean's step size; how far sigma, r and
# sqrt(e) are from linear at equal weights; sigma and r there; what float32 may take from all three; and below what of
# each the forms have cancelled.
MEAN_STEP, SIGMA_OFF, R_OFF, ROOT_OFF, SIGMA_EQUAL, R_EQUAL = range(6)
SIGMA_LOST, R_LOST, ROOT_LOST, SIGMA_LEAST, R_LEAST, ROOT_LEAST = range(6, 12)
VIDEO_ROWS = 12
