/* zh_global<T> and zh_shared<T>: addresses that know their bounds, and what is reached through
 * them. Reading gives a T; p[i] of memory that may be written is a reference that reads when it is
 * converted to T and writes when it is assigned to. */
#ifndef ZH_TESTS_SHIM_POINTERS_H
#define ZH_TESTS_SHIM_POINTERS_H

#include <string.h>
#include <type_traits>

namespace zh_shim {

const memory *memory_at(const void *address, unsigned char **at); /* NULL: no allocation's */

/* The bounds of a pointer: an allocation, or a part of a block's shared memory. */
struct global_space {
  const memory *of;
  bool may(access kind, const unsigned char *at, size_t bytes, size_t align,
           const site &where) const {
    return kind == READ ? may_read(of, at, bytes, align, where)
                        : allowed_global(of, at, bytes, align, kind, where);
  }
};
struct shared_space {
  const unsigned char *low, *high;
  bool may(access kind, const unsigned char *at, size_t bytes, size_t align,
           const site &where) const {
    return allowed_shared(low, high, at, bytes, align, kind, where);
  }
};

template <class T, class Space>
T load(const Space &space, const unsigned char *at, const site &where) {
  T value{};
  if (space.may(READ, at, sizeof(T), alignof(T), where)) memcpy(&value, at, sizeof(T));
  return value;
}
template <class T, class Space>
void store(const Space &space, unsigned char *at, const T &value, const site &where) {
  note_same_value(false);
  if constexpr (std::is_same_v<Space, global_space>) {
    const memory *of = space.of;
    if (of && of->bytes && at >= of->bytes && at + sizeof(T) <= of->bytes + of->size)
      note_same_value(memcmp(at, &value, sizeof(T)) == 0);
  }
  if (space.may(WRITE, at, sizeof(T), alignof(T), where)) memcpy(at, &value, sizeof(T));
}

template <class T, class Space> struct pointer;

/* p[i] */
template <class T, class Space> struct reference {
  unsigned char *at;
  Space space;
  site where;

  reference(unsigned char *place, const Space &bounds, const site &from)
      : at(place), space(bounds), where(from) {}
  reference(const reference &) = default;
  /* Never defined: `condition ? p[i] : 0` would else cut p[i] to an int. Write 0.0f. */
  template <class U, class = std::enable_if_t<std::is_arithmetic_v<U> && !std::is_same_v<U, T>>>
  reference(U);

  T value() const { return load<T>(space, at, where); }
  operator T() const { return value(); }
  const reference &operator=(const T &v) const {
    store(space, at, v, where);
    return *this;
  }
  const reference &operator=(const reference &o) const { return *this = o.value(); }
  template <class U, class Other> const reference &operator=(const reference<U, Other> &o) const {
    return *this = static_cast<T>(o.value());
  }
  pointer<T, Space> operator&() const { return pointer<T, Space>(at, space); }

#define ZH_SHIM_COMPOUND(op)                                                                       \
  template <class U> const reference &operator op##=(const U &u) const {                           \
    return *this = static_cast<T>(value() op u);                                                   \
  }
  ZH_SHIM_COMPOUND(+)
  ZH_SHIM_COMPOUND(-)
  ZH_SHIM_COMPOUND(*)
  ZH_SHIM_COMPOUND(/)
  ZH_SHIM_COMPOUND(%)
  ZH_SHIM_COMPOUND(|)
  ZH_SHIM_COMPOUND(&)
  ZH_SHIM_COMPOUND(^)
  ZH_SHIM_COMPOUND(<<)
  ZH_SHIM_COMPOUND(>>)
#undef ZH_SHIM_COMPOUND
  const reference &operator++() const {
    return *this = static_cast<T>(value() + 1);
  }
  T operator++(int) const {
    T before = value();
    *this = static_cast<T>(before + 1);
    return before;
  }
};

template <class T, class Space> struct pointer {
  typedef std::remove_const_t<T> value_type;
  /* What a T may be read from is read at once. */
  typedef std::conditional_t<std::is_const_v<T>, value_type, reference<value_type, Space>> element;

  unsigned char *at;
  Space space;

  pointer() = default;
  pointer(std::nullptr_t) : at(nullptr), space() {}
  pointer(unsigned char *place, const Space &bounds) : at(place), space(bounds) {}
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T> && !std::is_const_v<U>>>
  pointer(const pointer<U, Space> &o) : at(o.at), space(o.space) {}

  unsigned char *place(ptrdiff_t i) const { return at + i * static_cast<ptrdiff_t>(sizeof(T)); }
  element of(ptrdiff_t i, const site &where) const {
    if constexpr (std::is_const_v<T>)
      return load<value_type>(space, place(i), where);
    else
      return element(place(i), space, where);
  }
  element operator[](const index &i) const { return of(i.at, i.where); }
  element operator*() const { return of(0, site{nullptr, 0}); }

  template <class I> pointer operator+(I i) const {
    return pointer(place(static_cast<ptrdiff_t>(i)), space);
  }
  template <class I, class = std::enable_if_t<std::is_integral_v<I>>>
  friend pointer operator+(I i, const pointer &p) {
    return p + i;
  }
  template <class I, class = std::enable_if_t<std::is_integral_v<I>>> pointer operator-(I i) const {
    return pointer(place(-static_cast<ptrdiff_t>(i)), space);
  }
  ptrdiff_t operator-(const pointer &o) const {
    return (at - o.at) / static_cast<ptrdiff_t>(sizeof(T));
  }
  template <class I> pointer &operator+=(I i) { return *this = *this + i; }
  template <class I> pointer &operator-=(I i) { return *this = *this - i; }
  pointer &operator++() { return *this += 1; }
  pointer operator++(int) {
    pointer before = *this;
    *this += 1;
    return before;
  }
  pointer &operator--() { return *this -= 1; }
  explicit operator bool() const { return at != nullptr; }
  bool operator==(const pointer &o) const { return at == o.at; }
  bool operator!=(const pointer &o) const { return at != o.at; }
  bool operator<(const pointer &o) const { return at < o.at; }
  bool operator<=(const pointer &o) const { return at <= o.at; }
  bool operator>(const pointer &o) const { return at > o.at; }
  bool operator>=(const pointer &o) const { return at >= o.at; }
};
template <class T, class S> bool operator==(const pointer<T, S> &p, std::nullptr_t) {
  return !p.at;
}
template <class T, class S> bool operator!=(const pointer<T, S> &p, std::nullptr_t) {
  return p.at;
}

/* The value that an argument of a template stands for: p[i] is one. */
template <class T> struct value_of { typedef T type; };
template <class T, class S> struct value_of<reference<T, S>> { typedef T type; };
template <class T> using value_t = typename value_of<T>::type;

void *store_of(const void *key, const char *name, size_t bytes, const unsigned char **high);
unsigned char *dynamic_store(size_t *bytes);
void bad_part(size_t offset, size_t bytes, size_t have, size_t align);

} // namespace zh_shim

template <class T> using zh_global = zh_shim::pointer<T, zh_shim::global_space>;
template <class T> using zh_shared = zh_shim::pointer<T, zh_shim::shared_space>;

/* Of an address that the host holds; one that is no allocation's is reported when it is used. */
template <class T> static inline zh_global<T> zh_at(const void *address) {
  if (!address) return nullptr;
  unsigned char *at = nullptr;
  const zh_shim::memory *of = zh_shim::memory_at(address, &at);
  return zh_global<T>(at, zh_shim::global_space{of});
}
/* The same bytes as elements of another type. */
template <class U, class T, class Space>
ZH_DEVICE zh_shim::pointer<U, Space> zh_as(const zh_shim::pointer<T, Space> &p) {
  static_assert(std::is_const_v<U> || !std::is_const_v<T>, "what is const stays const");
  return zh_shim::pointer<U, Space>(p.at, p.space);
}

namespace zh_shim {

template <class T> zh_shared<T> shared_of(const void *key, const char *name, size_t count) {
  shared_space space;
  void *at = store_of(key, name, count * sizeof(T), &space.high);
  space.low = static_cast<unsigned char *>(at);
  return zh_shared<T>(static_cast<unsigned char *>(at), space);
}
static inline zh_shared<unsigned char> shared_dynamic() {
  size_t bytes = 0;
  unsigned char *at = dynamic_store(&bytes);
  return zh_shared<unsigned char>(at, shared_space{at, at + bytes});
}

} // namespace zh_shim

template <class T>
ZH_DEVICE zh_shared<T> zh_part(zh_shared<unsigned char> bytes, size_t offset, size_t count) {
  size_t have = (size_t)(bytes.space.high - bytes.at);
  unsigned char *at = bytes.at + offset;
  if (offset > have || count > (have - offset) / sizeof(T) || (uintptr_t)at % alignof(T) != 0) {
    zh_shim::bad_part(offset, count * sizeof(T), have, alignof(T));
    return zh_shared<T>(bytes.at, zh_shim::shared_space{bytes.at, bytes.at});
  }
  return zh_shared<T>(at, zh_shim::shared_space{at, at + count * sizeof(T)});
}

template <class V, class T, class Space>
ZH_DEVICE V zh_load(const zh_shim::pointer<T, Space> &p, size_t i,
                    const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  return zh_shim::load<V>(p.space, p.place((ptrdiff_t)i), zh_shim::site{file, line});
}
template <class V, class T, class Space>
ZH_DEVICE void zh_store(const zh_shim::pointer<T, Space> &p, size_t i, V value,
                        const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  static_assert(!std::is_const_v<T>, "a store into const memory");
  zh_shim::store<V>(p.space, p.place((ptrdiff_t)i), value, zh_shim::site{file, line});
}
template <class T>
ZH_DEVICE uint4 zh_load_once(const zh_global<T> &p, size_t i, const char *file = __builtin_FILE(),
                             int line = __builtin_LINE()) {
  const zh_shim::site where{file, line};
  zh_shim::must_be_constant(p.space.of, p.place((ptrdiff_t)i), where);
  return zh_shim::load<uint4>(p.space, p.place((ptrdiff_t)i), where);
}
/* In CUDA where they lie; here a copy, whose bytes were all looked at. */
template <class S, class T, class Space>
ZH_DEVICE S zh_struct_at(const zh_shim::pointer<T, Space> &p, size_t i,
                         const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  return zh_shim::load<S>(p.space, p.place((ptrdiff_t)i), zh_shim::site{file, line});
}
/* Bounds and alignment alone. */
template <class T>
ZH_DEVICE void zh_prefetch(const zh_global<T> &p, size_t i, uint32_t bytes,
                           const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  zh_shim::may_ask_for(p.space.of, p.place((ptrdiff_t)i), bytes, zh_shim::site{file, line});
}
template <class T>
static inline T __ldg(const zh_global<const T> &p, const char *file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  zh_shim::must_be_constant(p.space.of, p.at, zh_shim::site{file, line});
  return zh_shim::load<T>(p.space, p.at, zh_shim::site{file, line});
}

#endif
