enum { VECTORS = 4 };
#define LANES 4
#define NAME(x) x##_portable
#include "kernels/attention/attention_lanes.h"
