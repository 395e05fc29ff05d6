/* Orders of blocks and threads, from ZH_SHIM_SEED. */
#include <stdlib.h>

#include "engine.h"

namespace zh_shim {

static uint64_t state;

void seed_orders(uint64_t seed) {
  state = seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u;
  if (state == 0) state = 1;
}

uint32_t drawn(uint32_t below) {
  if (state == 0) {
    const char *asked = getenv("ZH_SHIM_SEED");
    seed_orders(asked && *asked ? strtoull(asked, nullptr, 0) : 1);
  }
  state ^= state << 13; /* xorshift64: Marsaglia 2003 */
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state >> 32) * below >> 32);
}

} // namespace zh_shim
