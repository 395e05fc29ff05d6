#define LANES 4
#define NAME(x) x##_portable
#include "kernels/rope/rope_lanes.h"
