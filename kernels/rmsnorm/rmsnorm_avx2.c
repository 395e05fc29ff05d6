#define LANES 8
#define NAME(x) x##_avx2
#include "kernels/rmsnorm/rmsnorm_lanes.h"
