#define LANES 4
#define NAME(x) x##_portable
#include "kernels/rmsnorm/rmsnorm_lanes.h"
