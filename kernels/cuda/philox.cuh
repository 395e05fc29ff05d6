/* Random bits by counter: core/philox.h. */
#ifndef ZH_KERNELS_CUDA_PHILOX_CUH
#define ZH_KERNELS_CUDA_PHILOX_CUH

#include "device.cuh"

/* Numbers 4 block … 4 block + 3 of a stream. */
ZH_DEVICE void zh_philox(uint32_t (&c)[4], uint64_t block, uint64_t stream, uint64_t seed) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  c[0] = (uint32_t)block, c[1] = (uint32_t)(block >> 32), c[2] = (uint32_t)stream, c[3] = (uint32_t)(stream >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    uint32_t a = 0xD2511F53u * c[0], b = 0xCD9E8D57u * c[2], a_high = __umulhi(0xD2511F53u, c[0]),
             b_high = __umulhi(0xCD9E8D57u, c[2]);
    c[0] = b_high ^ c[1] ^ k0, c[2] = a_high ^ c[3] ^ k1;
    c[1] = b, c[3] = a;
  }
}

#endif
