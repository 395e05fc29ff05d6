/* Atomics in global and shared memory, on p + i or &p[i]. All are relaxed, as in CUDA; after a
 * __threadfence the next one in global memory tells other blocks of what was written before. */
#ifndef ZH_TESTS_SHIM_ATOMICS_H
#define ZH_TESTS_SHIM_ATOMICS_H

namespace zh_shim {

void note_atomic(const memory *of, const unsigned char *at);
uint32_t load_acquire_system(const memory *of, const unsigned char *at, const site &where);
void store_release_system(const memory *of, unsigned char *at, uint32_t value, const site &where);

template <class T, class Space, class Change>
T change(const pointer<T, Space> &p, const site &where, Change to) {
  static_assert(!std::is_const_v<T>, "an atomic on const memory");
  T before{};
  if (!p.space.may(ATOMIC, p.at, sizeof(T), alignof(T), where)) return before;
  if constexpr (std::is_same_v<Space, global_space>) note_atomic(p.space.of, p.at);
  memcpy(&before, p.at, sizeof before);
  T after = to(before);
  if (std::is_same_v<Space, global_space> && memcmp(&after, &before, sizeof after) != 0)
    now.changes++;
  memcpy(p.at, &after, sizeof after);
  return before;
}

} // namespace zh_shim

#define ZH_SHIM_ATOMIC(name, result)                                                               \
  template <class T, class Space>                                                                  \
  static inline T name(const zh_shim::pointer<T, Space> &p, zh_shim::value_t<T> value,             \
                       ZH_SHIM_WHERE) {                                                            \
    return zh_shim::change(p, ZH_SHIM_HERE, [value](T old) { return static_cast<T>(result); });    \
  }
ZH_SHIM_ATOMIC(atomicAdd, old + value)
ZH_SHIM_ATOMIC(atomicSub, old - value)
ZH_SHIM_ATOMIC(atomicMax, value > old ? value : old)
ZH_SHIM_ATOMIC(atomicMin, value < old ? value : old)
ZH_SHIM_ATOMIC(atomicAnd, old &value)
ZH_SHIM_ATOMIC(atomicOr, old | value)
ZH_SHIM_ATOMIC(atomicXor, old ^ value)
ZH_SHIM_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
#undef ZH_SHIM_ATOMIC

/* One word that other processes reach, too; orders what comes before a store and what comes after a
 * load of what it stored. */
static inline uint32_t zh_load_acquire_system(const zh_global<uint32_t> &p, ZH_SHIM_WHERE) {
  return zh_shim::load_acquire_system(p.space.of, p.at, ZH_SHIM_HERE);
}
static inline void zh_store_release_system(const zh_global<uint32_t> &p, uint32_t value,
                                           ZH_SHIM_WHERE) {
  zh_shim::store_release_system(p.space.of, p.at, value, ZH_SHIM_HERE);
}

/* Sees all that was told by whoever put there what it finds. */
template <class T> static inline T zh_load_acquire(const zh_global<T> &p, ZH_SHIM_WHERE) {
  return zh_shim::change(p, ZH_SHIM_HERE, [](T old) { return old; });
}

template <class T, class Space>
static inline T atomicExch(const zh_shim::pointer<T, Space> &p, zh_shim::value_t<T> value,
                           ZH_SHIM_WHERE) {
  return zh_shim::change(p, ZH_SHIM_HERE, [value](T) { return value; });
}
template <class T, class Space>
static inline T atomicCAS(const zh_shim::pointer<T, Space> &p, zh_shim::value_t<T> expected,
                          zh_shim::value_t<T> value, ZH_SHIM_WHERE) {
  return zh_shim::change(p, ZH_SHIM_HERE,
                         [expected, value](T old) { return old == expected ? value : old; });
}

#endif
