#define LANES 16
#define NAME(x) x##_avx512
#include "kernels/logits/logsumexp_lanes.h"
