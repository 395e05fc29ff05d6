/* What the kernels of products share: matrices of one form with one input, whose rows lie behind one another in the
 * output; and which tokens and rows a block has. */
#ifndef ZH_KERNELS_CUDA_PRODUCT_CUH
#define ZH_KERNELS_CUDA_PRODUCT_CUH

#include "forms.cuh"
#include "persist.cuh"

enum { ZH_SIDES = 4 };

/* A matrix, of which a block has rows of one part: a head's, an expert's, or all. */
struct zh_product_side {
  zh_weights_view w;
  zh_global<const float> bias; /* [rows of the matrix], or null */
  uint32_t rows;               /* of a part */
  uint32_t first_tile;         /* tiles of all sides are counted through */
  size_t y;                    /* where its rows begin in the output */
};

enum zh_product_kind { ZH_PRODUCT_WHOLE, ZH_PRODUCT_HEADS, ZH_PRODUCT_GROUPED };

struct zh_product_view {
  zh_product_side side[ZH_SIDES];
  uint32_t sides, tiles;
  zh_global<float> y;
  zh_global<const float> x;
  size_t y_stride, x_stride, y_part, x_part; /* _part: from a head to the next */
  uint32_t columns, tokens, parts;
  zh_product_kind kind;
  bool wide; /* x can be read sixteen bytes at a time */
  bool adds;
  float factor;
  zh_global<const uint32_t> lists; /* of grouped products: zh_device_list_words */
  uint32_t experts, used;
  bool spread;
};

/* Which part a block has, and whose tokens. */
struct zh_part_of {
  uint32_t part, tokens, first; /* first: of the choices in the lists */
};

ZH_DEVICE zh_part_of zh_part_at(const zh_product_view &v, uint32_t index) {
  if (v.kind != ZH_PRODUCT_GROUPED) return {index, v.tokens, 0};
  uint32_t busy = v.lists[0];
  if (index >= busy) return {0, 0, 0};
  uint32_t expert = v.lists[1 + index], first = v.lists[1 + v.experts + expert];
  return {expert, v.lists[1 + v.experts + expert + 1] - first, first};
}

/* The row of y of a part's token; of grouped products also that of x, or its token's. */
ZH_DEVICE uint32_t zh_row_of_y(const zh_product_view &v, const zh_part_of &p, uint32_t token) {
  return v.kind == ZH_PRODUCT_GROUPED ? v.lists[2 + 2 * v.experts + p.first + token] : token;
}
ZH_DEVICE size_t zh_place_of_x(const zh_product_view &v, const zh_part_of &p, uint32_t token) {
  uint32_t row = zh_row_of_y(v, p, token);
  if (v.spread) row /= v.used;
  return row * v.x_stride + (v.kind == ZH_PRODUCT_HEADS ? p.part * v.x_part : 0);
}

ZH_DEVICE uint32_t zh_side_of(const zh_product_view &v, uint32_t tile) {
  uint32_t side = 0;
  for (uint32_t i = 1; i < v.sides; ++i)
    if (tile >= v.side[i].first_tile) side = i;
  return side;
}

/* Row `row` of a part, for its token. */
ZH_DEVICE void zh_put_product(const zh_product_view &v, const zh_product_side &s, const zh_part_of &p, uint32_t row,
                              uint32_t token, float sum) {
  size_t at = zh_row_of_y(v, p, token) * v.y_stride + s.y + row;
  if (v.kind == ZH_PRODUCT_HEADS) at += p.part * v.y_part;
  if (s.bias) sum += s.bias[(size_t)p.part * s.rows + row];
  v.y[at] = v.adds ? fmaf(v.factor, sum, v.y[at]) : sum;
}

/* Eight activations of a row of `from` that begins at `at`; zeros behind the last. */
template <class From>
ZH_DEVICE void zh_eight_inputs_of(float (&x)[8], const From &from, const zh_product_view &v, size_t at,
                                  uint32_t column) {
  if (v.wide && column + 8 <= v.columns) {
    float4 a = zh_load<float4>(from, at + column), b = zh_load<float4>(from, at + column + 4);
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
    return;
  }
  for (uint32_t i = 0; i < 8; ++i) {
    x[i] = 0.0f;
    if (column + i < v.columns) x[i] = from[at + column + i];
  }
}
ZH_DEVICE void zh_eight_inputs(float (&x)[8], const zh_product_view &v, size_t at, uint32_t column) {
  zh_eight_inputs_of(x, v.x, v, at, column);
}

ZH_DEVICE void zh_pairs_of(uint32_t (&pair)[4], const float (&x)[8]) {
  for (uint32_t i = 0; i < 4; ++i) pair[i] = zh_bf16_pair(x[2 * i], x[2 * i + 1]);
}

/* Number the tiles of all sides for tiles of so many rows. */
static inline void zh_count_tiles(zh_product_view *v, uint32_t rows) {
  v->tiles = 0;
  for (uint32_t i = 0; i < v->sides; ++i) {
    v->side[i].first_tile = v->tiles;
    v->tiles += (v->side[i].rows + rows - 1) / rows;
  }
}

/* What a product touches, beside weights. */
static inline size_t zh_choices_of(const zh_product_view &v) {
  return v.kind == ZH_PRODUCT_GROUPED ? (size_t)v.tokens * v.used : v.tokens;
}
static inline zh_touched zh_product_writes(const zh_product_view &v) {
  const zh_product_side &first = v.side[0], &last = v.side[v.sides - 1];
  size_t width = last.y + last.rows - first.y;
  if (v.kind == ZH_PRODUCT_HEADS) width += (v.parts - 1) * v.y_part;
  return {zh_place(v.y) + first.y * sizeof(float), zh_row_bytes(zh_choices_of(v), v.y_stride, width), 0};
}
static inline zh_touched zh_product_reads(const zh_product_view &v) {
  size_t width = v.columns;
  if (v.kind == ZH_PRODUCT_HEADS) width += (v.parts - 1) * v.x_part;
  return {zh_place(v.x), zh_row_bytes(v.spread ? v.tokens : zh_choices_of(v), v.x_stride, width), 0};
}
static inline zh_touched zh_product_lists(const zh_product_view &v) {
  if (v.kind != ZH_PRODUCT_GROUPED) return {};
  return {zh_place(v.lists), zh_device_list_words(v.tokens, v.experts, v.used) * sizeof(uint32_t), 0};
}

/* Each enqueues the product of a view whose matrices have the form. */
zh_status zh_cuda_product_few(zh_device *device, zh_product_view *view, zh_device_form form, zh_error *err);
zh_status zh_cuda_product_many(zh_device *device, zh_product_view *view, zh_device_form form, zh_error *err);
zh_status zh_cuda_product_plain(zh_device *device, zh_product_view *view, zh_device_form form, zh_error *err);

#endif
