#define LANES 4
#define NAME(x) x##_portable
#include "kernels/gelu/gelu_lanes.h"
