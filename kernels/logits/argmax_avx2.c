#define LANES 8
#define NAME(x) x##_avx2
#include "kernels/logits/argmax_lanes.h"
