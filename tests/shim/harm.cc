/* Harm that a GPU may come to without saying so, for tests of what must notice it. */
#include <ctype.h>
#include <stdlib.h>

#include "engine.h"
#include "shim_math.h"

namespace zh_shim {

/* ZH_SHIM_SKIP=n: the last block of the n-th launch does not run; ZH_SHIM_SKIP=NAME: that of every
 * launch of kernels of this name. Blocks that wait for each other all run. */
bool skips_last_block(const launch_shape &s) {
  static const char *asked = getenv("ZH_SHIM_SKIP");
  static unsigned long launches;
  launches++;
  if (!asked || !*asked || s.together) return false;
  return isdigit((unsigned char)*asked) ? strtoul(asked, nullptr, 10) == launches
                                        : strcmp(asked, s.name) == 0;
}

/* Bits of a sum's fraction that products of matrices drop: by ZH_SHIM_SUMS=f16 or bf16. */
static unsigned dropped_bits() {
  const char *asked = getenv("ZH_SHIM_SUMS");
  if (!asked) return 0;
  return strcmp(asked, "f16") == 0 ? 13 : strcmp(asked, "bf16") == 0 ? 16 : 0;
}

const unsigned dropped_sum_bits = dropped_bits();

float coarse_sum(float sum) {
  uint32_t bits = zh_bits(sum);
  bits += (1u << (dropped_sum_bits - 1)) - 1 + (bits >> dropped_sum_bits & 1u);
  return zh_float(bits & ~((1u << dropped_sum_bits) - 1));
}

} // namespace zh_shim
