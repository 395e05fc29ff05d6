#define LANES 16
#define NAME(x) x##_avx512
#include "kernels/logits/argmax_lanes.h"
