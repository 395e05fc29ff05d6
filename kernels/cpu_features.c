#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t xgetbv0(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

/* Linux gives tile registers only to a process that asks (Documentation/arch/x86/xstate.rst):
 * ARCH_REQ_XCOMP_PERM for component 18, tile data. */
static bool linux_grants_tiles(void) {
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

zh_cpu_features zh_cpu_detect(void) {
  zh_cpu_features has = {0};
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return has;
  bool osxsave = c >> 27 & 1, avx = c >> 28 & 1, fma = c >> 12 & 1, f16c = c >> 29 & 1;
  if (!osxsave || !avx) return has;
  uint64_t state =
      xgetbv0(); /* which registers the system saves: bits 1, 2 ymm; 5…7 zmm; 17, 18 tiles */
  bool ymm = (state & 0x6) == 0x6, zmm = ymm && (state & 0xe0) == 0xe0,
       tiles = state >> 17 & 1 && state >> 18 & 1;
  if (!ymm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return has;
  has.avx2_fma = fma && (b >> 5 & 1);
  has.f16c = f16c;
  bool f = b >> 16 & 1, dq = b >> 17 & 1, bw = b >> 30 & 1, vl = b >> 31 & 1;
  has.avx512 = zmm && f && dq && bw && vl;
  has.avx512_vnni = has.avx512 && (c >> 11 & 1);
  bool amx_bf16 = d >> 22 & 1, amx_tile = d >> 24 & 1, amx_int8 = d >> 25 & 1;
  uint32_t sub_leaves = a;
  if (sub_leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
    has.avx_vnni = has.avx2_fma && (a >> 4 & 1);
    has.avx512_bf16 = has.avx512 && (a >> 5 & 1);
  }
  bool granted = has.avx512 && tiles && amx_tile && linux_grants_tiles();
  has.amx_bf16 = granted && amx_bf16;
  has.amx_int8 = granted && amx_int8;
  return has;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

/* HWCAP_ASIMDDP of Linux's Documentation/arch/arm64/elf_hwcaps.rst. */
zh_cpu_features zh_cpu_detect(void) {
  return (zh_cpu_features){.arm_dotprod = getauxval(AT_HWCAP) >> 20 & 1};
}
#else
zh_cpu_features zh_cpu_detect(void) {
  return (zh_cpu_features){0};
}
#endif
