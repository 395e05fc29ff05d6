/* CUDA's small types. */
#ifndef ZH_TESTS_SHIM_TYPES_H
#define ZH_TESTS_SHIM_TYPES_H

#define ZH_SHIM_PAIR(name, T, align)                                                               \
  struct alignas(align) name {                                                                     \
    T x, y;                                                                                        \
  };                                                                                               \
  static inline name make_##name(T x, T y) {                                                       \
    return name{x, y};                                                                             \
  }
#define ZH_SHIM_TRIPLE(name, T)                                                                    \
  struct name {                                                                                    \
    T x, y, z;                                                                                     \
  };                                                                                               \
  static inline name make_##name(T x, T y, T z) {                                                  \
    return name{x, y, z};                                                                          \
  }
#define ZH_SHIM_FOUR(name, T, align)                                                               \
  struct alignas(align) name {                                                                     \
    T x, y, z, w;                                                                                  \
  };                                                                                               \
  static inline name make_##name(T x, T y, T z, T w) {                                             \
    return name{x, y, z, w};                                                                       \
  }

ZH_SHIM_PAIR(char2, signed char, 2)
ZH_SHIM_PAIR(uchar2, unsigned char, 2)
ZH_SHIM_PAIR(short2, short, 4)
ZH_SHIM_PAIR(ushort2, unsigned short, 4)
ZH_SHIM_PAIR(int2, int, 8)
ZH_SHIM_PAIR(uint2, unsigned, 8)
ZH_SHIM_PAIR(float2, float, 8)
ZH_SHIM_PAIR(double2, double, 16)
ZH_SHIM_PAIR(longlong2, long long, 16)
ZH_SHIM_PAIR(ulonglong2, unsigned long long, 16)
ZH_SHIM_TRIPLE(int3, int)
ZH_SHIM_TRIPLE(uint3, unsigned)
ZH_SHIM_TRIPLE(float3, float)
ZH_SHIM_FOUR(char4, signed char, 4)
ZH_SHIM_FOUR(uchar4, unsigned char, 4)
ZH_SHIM_FOUR(short4, short, 8)
ZH_SHIM_FOUR(ushort4, unsigned short, 8)
ZH_SHIM_FOUR(int4, int, 16)
ZH_SHIM_FOUR(uint4, unsigned, 16)
ZH_SHIM_FOUR(float4, float, 16)
#undef ZH_SHIM_PAIR
#undef ZH_SHIM_TRIPLE
#undef ZH_SHIM_FOUR

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned of_x = 1, unsigned of_y = 1, unsigned of_z = 1)
      : x(of_x), y(of_y), z(of_z) {}
  constexpr dim3(uint3 of) : x(of.x), y(of.y), z(of.z) {}
};

#endif
