#define LANES 4
#define NAME(x) x##_portable
#include "kernels/silu/silu_lanes.h"
