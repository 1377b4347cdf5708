/* The scans for processors with AVX2: the flags of the build choose the width. */
#include "library.h"
