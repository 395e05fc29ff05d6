enum { VECTORS = 2 };
#define LANES 8
#define NAME(x) x##_avx2
#include "kernels/attention/attention_lanes.h"
