/* Copies that go on meanwhile, and the products of a warp. Fragments are those of the PTX ISA
 * ("Matrix Fragments for mma.m16n8k16", "… mma.m16n8k32", ldmatrix). Products of bf16 and f16 are
 * made in fp32 (exact, but for bf16's below 2^-126) and added in fp32, k ascending: a rounding a
 * product, which is no better than any GPU. Products of E4M3 are cut to 13 bits below the largest
 * term before they are added, as Hopper's and Ada's are (arXiv:2412.19437, 3.3.2;
 * arXiv:2411.10958). Products of bytes add up modulo 2^32. */
#ifndef ZH_TESTS_SHIM_MATRIX_H
#define ZH_TESTS_SHIM_MATRIX_H

namespace zh_shim {

void copy_begin(const zh_shared<unsigned char> &to, const memory *of, const unsigned char *from,
                bool valid, const site &where);
void copies_commit();
void copies_wait(unsigned pending);

void multiply_bf16(offer *const lanes[32]);
void multiply_f16(offer *const lanes[32]);
void multiply_int8(offer *const lanes[32]);
void multiply_e4m3(offer *const lanes[32]);
float e4m3_value(uint32_t bits);
/* sum + what 32 columns of a row and a column give. */
float add_e4m3(float sum, const float (&a)[32], const float (&b)[32]);
void spread_rows(offer *const lanes[32]);
void spread_columns(offer *const lanes[32]);

static inline void meet_for_product(void (*together)(offer *const lanes[32]), void *d,
                                    const void *a, const void *b, const site &where) {
  offer mine = {MMA, 0xFFFFFFFFu, where, 0, 0, {a, b}, d, together};
  meet_warp(mine);
}
template <class T>
void load_matrices(void (*together)(offer *const lanes[32]), uint32_t (&r)[4],
                   const zh_shared<T> &row, size_t i, const site &where) {
  static_assert(sizeof(T) == 2, "matrices of 16-bit elements");
  uint4 mine_of_memory = load<uint4>(row.space, row.place((ptrdiff_t)i), where);
  offer mine = {LOAD_MATRICES, 0xFFFFFFFFu, where, 0, 0, {&mine_of_memory, nullptr}, r, together};
  meet_warp(mine);
}

} // namespace zh_shim

/* Really late: the bytes arrive in zh_copies_wait, and cannot be read before. A copy that its
 * thread never waits for never arrives. */
template <class S, class G>
ZH_DEVICE void zh_copy_async(const zh_shared<S> &to, size_t i, const zh_global<G> &from, size_t j,
                             bool valid, ZH_SHIM_WHERE) {
  static_assert(!std::is_const_v<S>, "a copy into const memory");
  zh_shim::copy_begin(zh_shared<unsigned char>(to.place((ptrdiff_t)i), to.space), from.space.of,
                      from.place((ptrdiff_t)j), valid, ZH_SHIM_HERE);
}
ZH_DEVICE void zh_copies_commit() {
  zh_shim::copies_commit();
}
template <int PENDING> ZH_DEVICE void zh_copies_wait() {
  zh_shim::copies_wait(PENDING);
}

ZH_DEVICE void zh_mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                           ZH_SHIM_WHERE) {
  zh_shim::meet_for_product(zh_shim::multiply_bf16, d, a, b, ZH_SHIM_HERE);
}
ZH_DEVICE void zh_mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                          ZH_SHIM_WHERE) {
  zh_shim::meet_for_product(zh_shim::multiply_f16, d, a, b, ZH_SHIM_HERE);
}
ZH_DEVICE void zh_mma_int8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                           ZH_SHIM_WHERE) {
  zh_shim::meet_for_product(zh_shim::multiply_int8, d, a, b, ZH_SHIM_HERE);
}
ZH_DEVICE void zh_mma_e4m3(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                           ZH_SHIM_WHERE) {
  zh_shim::meet_for_product(zh_shim::multiply_e4m3, d, a, b, ZH_SHIM_HERE);
}
template <class T>
ZH_DEVICE void zh_load_matrices(uint32_t (&r)[4], const zh_shared<T> &row, size_t i,
                                ZH_SHIM_WHERE) {
  zh_shim::load_matrices(zh_shim::spread_rows, r, row, i, ZH_SHIM_HERE);
}
template <class T>
ZH_DEVICE void zh_load_matrices_transposed(uint32_t (&r)[4], const zh_shared<T> &row, size_t i,
                                           ZH_SHIM_WHERE) {
  zh_shim::load_matrices(zh_shim::spread_columns, r, row, i, ZH_SHIM_HERE);
}

#endif
