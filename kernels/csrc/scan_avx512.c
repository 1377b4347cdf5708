/* The scans for processors with AVX-512: the flags of the build choose the width. */
#include "library.h"
