enum { VECTORS = 4 };
#define LANES 16
#define NAME(x) x##_avx512
#include "kernels/attention/attention_lanes.h"
