#define LANES 4
#define NAME(x) x##_portable
#include "kernels/logits/argmax_lanes.h"
