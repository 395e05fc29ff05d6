#define LANES 16
#define NAME(x) x##_avx512
#include "kernels/silu/silu_lanes.h"
