#define LANES 8
#define NAME(x) x##_avx2
#include "kernels/gelu/gelu_lanes.h"
