/* The scorer for processors with AVX2: the flags of the build choose the width. */
#include "attend.h"
