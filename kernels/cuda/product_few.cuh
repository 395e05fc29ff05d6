/* A block's part of a product of few tokens; product_few.cu and persist_steps.cu launch it. */
#ifndef ZH_KERNELS_CUDA_PRODUCT_FEW_CUH
#define ZH_KERNELS_CUDA_PRODUCT_FEW_CUH

#include "norm.cuh"
#include "product.cuh"

/* A norm that a block makes of its product's input, for itself. */
struct zh_product_norm {
  zh_norms::view norm;
  bool is, layer;
};

namespace zh_few {

enum { WARPS = 8, ROWS = 16, SOME_TOKENS = 4 };

/* Pieces that a thread asks for before it uses the first. */
template <int FORM> struct depth { static constexpr uint32_t PIECES = zh_piece<FORM>::UNITS == 4 ? 2 : 4; };

template <int NT> struct inputs { uint32_t pair[NT][4]; };

/* Where the token's row of x begins that a thread takes for each tile of eight tokens, or none. */
template <int NT> struct input_rows {
  size_t at[NT];
  bool there[NT];
};

template <int NT, class From>
ZH_DEVICE inputs<NT> load_inputs(const zh_product_view &v, const From &from, const input_rows<NT> &rows,
                                 uint32_t column) {
  inputs<NT> in;
#pragma unroll
  for (int n = 0; n < NT; ++n) {
    float x[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    if (rows.there[n]) zh_eight_inputs_of(x, from, v, rows.at[n], column);
    zh_pairs_of(in.pair[n], x);
  }
  return in;
}

/* d += 16 rows of 32 columns of a by b. */
ZH_DEVICE void multiply_unit(float (&d)[4], const uint32_t (&low)[4], const uint32_t (&high)[4],
                             const uint32_t (&b)[4]) {
  const uint32_t a0[4] = {low[0], high[0], low[1], high[1]}, a1[4] = {low[2], high[2], low[3], high[3]};
  const uint32_t b0[2] = {b[0], b[1]}, b1[2] = {b[2], b[3]};
  zh_mma_bf16(d, a0, b0);
  zh_mma_bf16(d, a1, b1);
}

template <int FORM, int NT>
ZH_DEVICE void take_unit(float (&sum)[NT][4], const zh_loaded (&row)[2], uint32_t piece, uint32_t unit,
                         const inputs<NT> &in) {
  const uint32_t ones[4] = {0x3F803F80u, 0x3F803F80u, 0x3F803F80u, 0x3F803F80u};
  uint32_t low[4], high[4];
  zh_unit_pairs<FORM>(low, row[0].numbers, unit);
  zh_unit_pairs<FORM>(high, row[1].numbers, unit);
  zh_scale_pair s0 = zh_unit_scale<FORM>(row[0], piece, unit), s1 = zh_unit_scale<FORM>(row[1], piece, unit);
#pragma unroll
  for (int n = 0; n < NT; ++n) {
    if constexpr (!zh_piece<FORM>::SCALED) {
      multiply_unit(sum[n], low, high, in.pair[n]);
    } else {
      float part[4] = {0, 0, 0, 0};
      multiply_unit(part, low, high, in.pair[n]);
      for (int i = 0; i < 4; ++i) sum[n][i] = fmaf(i < 2 ? s0.scale : s1.scale, part[i], sum[n][i]);
    }
    if constexpr (zh_piece<FORM>::MINIMUM) {
      float inputs_sum[4] = {0, 0, 0, 0};
      multiply_unit(inputs_sum, ones, ones, in.pair[n]);
      for (int i = 0; i < 4; ++i) sum[n][i] = fmaf(i < 2 ? s0.minimum : s1.minimum, inputs_sum[i], sum[n][i]);
    }
  }
}

/* This warp's pieces of two rows of every thread, for each of RT sixteens of rows. */
template <int FORM, int NT, int RT, class From>
ZH_DEVICE void take_rows(float (&sum)[RT][NT][4], const zh_product_view &v, const zh_weights_view &w, const From &from,
                         const zh_row_place<FORM> (&row)[2 * RT], const input_rows<NT> &rows, uint32_t share,
                         uint32_t shares) {
  constexpr uint32_t DEPTH = depth<FORM>::PIECES;
  uint32_t pieces = (v.columns + zh_piece<FORM>::COLUMNS - 1) / zh_piece<FORM>::COLUMNS, c = threadIdx.x % 4;
  for (uint32_t first = share * DEPTH; first < pieces; first += shares * DEPTH) {
    zh_loaded loaded[DEPTH][RT][2];
#pragma unroll
    for (uint32_t i = 0; i < DEPTH; ++i)
#pragma unroll
      for (uint32_t r = 0; r < 2 * RT; ++r)
        if (first + i < pieces) loaded[i][r / 2][r % 2] = zh_load_piece<FORM>(w, row[r], first + i, c);
#pragma unroll
    for (uint32_t i = 0; i < DEPTH; ++i) {
      if (first + i >= pieces) break;
#pragma unroll
      for (uint32_t unit = 0; unit < zh_piece<FORM>::UNITS; ++unit) {
        inputs<NT> in = load_inputs<NT>(v, from, rows, zh_unit_column<FORM>(first + i, unit, c));
#pragma unroll
        for (uint32_t r = 0; r < RT; ++r) take_unit<FORM, NT>(sum[r], loaded[i][r], first + i, unit, in);
      }
    }
  }
}

/* The warps' sums, [warp][row][token], added in order and put where they belong. */
template <int NT, int RT>
ZH_DEVICE void put_rows(const zh_product_view &v, const zh_part_of &p, zh_shared<float> sums, uint32_t first_tile,
                        uint32_t shares, uint32_t first_token) {
  constexpr uint32_t TOKENS = 8 * NT, TILE = ROWS * RT;
  uint32_t tiles = WARPS / shares;
  for (uint32_t o = threadIdx.x; o < tiles * TILE * TOKENS; o += blockDim.x) {
    uint32_t r = o % TILE, token = o / TILE % TOKENS, local = o / (TILE * TOKENS), tile = first_tile + local;
    if (tile >= v.tiles || first_token + token >= p.tokens) continue;
    const zh_product_side &s = v.side[zh_side_of(v, tile)];
    uint32_t row = (tile - s.first_tile) * TILE + r;
    if (row >= s.rows) continue;
    float sum = 0.0f;
    for (uint32_t k = 0; k < shares; ++k) sum += sums[((local * shares + k) * TILE + r) * TOKENS + token];
    zh_put_product(v, s, p, row, first_token + token, sum);
  }
}

struct view {
  zh_product_view v;
  uint32_t shares;
};
/* In a program. */
struct step_view {
  view product;
  zh_product_norm before;
};
enum { SUMS_BYTES = WARPS * ROWS * 8 * 4 };

/* WARPS / shares tiles of rows, the index-th of such, of a part. from: the view's x, or the same rows in shared memory.
 * sums: [WARPS][ROWS RT][8 NT]; all threads may go on to write there afterwards. */
template <int FORM, int NT, int RT, class From>
ZH_DEVICE void multiply_tiles(const view &of, uint32_t index, uint32_t part, const From &from, zh_shared<float> sums) {
  constexpr uint32_t TOKENS = 8 * NT, TILE = ROWS * RT;
  const zh_product_view &v = of.v;
  uint32_t shares = of.shares;
  zh_part_of p = zh_part_at(v, part);
  uint32_t warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
  uint32_t first_tile = index * (WARPS / shares), tile = first_tile + warp / shares;
  bool works = tile < v.tiles;
  const zh_product_side &s = v.side[zh_side_of(v, works ? tile : 0)];
  uint32_t first_row = works ? (tile - s.first_tile) * TILE : 0;
  zh_row_place<FORM> row[2 * RT];
#pragma unroll
  for (uint32_t i = 0; i < 2 * RT; ++i) /* rows behind the last are read as it and not put */
    row[i] = zh_place_of_row<FORM>(s.w, (size_t)p.part * s.rows + min(first_row + g + 8 * i, s.rows - 1));
  for (uint32_t token = 0; token < p.tokens; token += TOKENS) {
    float sum[RT][NT][4] = {};
    input_rows<NT> rows;
    for (uint32_t n = 0; n < NT; ++n) {
      uint32_t mine = token + 8 * n + g;
      rows.there[n] = mine < p.tokens;
      rows.at[n] = rows.there[n] ? zh_place_of_x(v, p, mine) : 0;
    }
    if (works) take_rows<FORM, NT, RT>(sum, v, s.w, from, row, rows, warp % shares, shares);
#pragma unroll
    for (uint32_t k = 0; k < RT * NT * 4; ++k) {
      uint32_t r = k / (NT * 4), n = k / 4 % NT, i = k % 4;
      sums[(warp * TILE + 16 * r + g + i / 2 * 8) * TOKENS + 8 * n + 2 * c + i % 2] = sum[r][n][i];
    }
    __syncthreads();
    put_rows<NT, RT>(v, p, sums, first_tile, shares, token);
    __syncthreads();
  }
}

/* Of the warps of a block, how many share a tile's columns: each has two rounds of work. */
template <int FORM> uint32_t shares_of(uint32_t columns) {
  uint32_t pieces = (columns + zh_piece<FORM>::COLUMNS - 1) / zh_piece<FORM>::COLUMNS, shares = WARPS;
  while (shares > 1 && shares * 2 * depth<FORM>::PIECES > pieces) shares /= 2;
  return shares;
}

} // namespace zh_few

#endif
