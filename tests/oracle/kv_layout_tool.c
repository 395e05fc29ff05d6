/* kv_layout_tool DEPTH LAYERS KEY_WIDTH ROUNDS: what it costs to read keys and values from pages.
 * All keys and values of DEPTH positions of each of LAYERS layers are read on one core, fp32, as
 * they lie one position after another, and as they lie in pages of 16, 64 and 256 positions at
 * random places, in turn, in parts of DEPTH positions; prints for each the sum of its parts'
 * fastest times in bytes a second, and its share of the contiguous one's. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/philox.h"
#include "kernels/kernels.h"

enum { LAYOUTS = 4, PARTS_MAX = 1000 };
static const size_t page_positions[LAYOUTS] = {0, 16, 64, 256}; /* 0: one page for all */

typedef struct cache {
  size_t depth, layers, width;
  double *values; /* two floats each: [2 of keys and values][layers][depth][width] */
  uint32_t *page; /* [LAYOUTS][2 * layers * depth]: where each page lies */
} cache;

/* Pages are handed out as sequences grow, and given back as they end: any order. */
static void shuffle(uint32_t *page, size_t count, uint64_t stream) {
  for (size_t i = 0; i < count; ++i) page[i] = (uint32_t)i;
  for (size_t i = count - 1; i > 0; --i) {
    uint32_t bits;
    zh_random_fill(&bits, 1, 9, stream, i);
    size_t other = bits % (i + 1);
    uint32_t kept = page[i];
    page[i] = page[other];
    page[other] = kept;
  }
}

/* One part: the pages of DEPTH positions. Other work on the machine spoils some parts of a pass,
 * and hardly the same ones each time. */
static double read_part(const cache *c, int layout, size_t part, double *sum) {
  size_t each = page_positions[layout] ? page_positions[layout] : c->depth, pages = c->depth / each,
         doubles = each * c->width / 2;
  const uint32_t *page = c->page + (size_t)layout * 2 * c->layers * c->depth + part * pages;
  int64_t begin = zh_now_ns();
  for (size_t i = 0; i < pages; ++i) {
    size_t at = page[i] * doubles;
    *sum += zh_memory_read(c->values, at, at + doubles);
  }
  return (double)(zh_now_ns() - begin) * 1e-9;
}

static void place_pages(const cache *c) {
  size_t positions = 2 * c->layers * c->depth;
  for (int layout = 1; layout < LAYOUTS; ++layout)
    shuffle(c->page + (size_t)layout * positions, positions / page_positions[layout],
            (uint64_t)layout);
  for (uint32_t i = 0; i < 2 * c->layers; ++i) c->page[i] = i;
}

/* *sum: of all that was read. */
static void time_layouts(double seconds[LAYOUTS], const cache *c, int rounds, double *sum) {
  static double best[LAYOUTS][PARTS_MAX];
  size_t parts = 2 * c->layers;
  for (int layout = 0; layout < LAYOUTS; ++layout)
    for (size_t part = 0; part < parts; ++part) best[layout][part] = INFINITY;
  for (int round = 0; round < rounds; ++round)
    for (int layout = 0; layout < LAYOUTS; ++layout)
      for (size_t part = 0; part < parts; ++part)
        best[layout][part] = fmin(best[layout][part], read_part(c, layout, part, sum));
  for (int layout = 0; layout < LAYOUTS; ++layout)
    for (size_t part = 0; part < parts; ++part) seconds[layout] += best[layout][part];
}

static int measure(cache *c, int rounds) {
  size_t positions = 2 * c->layers * c->depth, doubles = positions * c->width / 2;
  double seconds[LAYOUTS] = {0}, sum = 0, bytes = (double)doubles * sizeof(double);
  c->values = zh_big_alloc(doubles * sizeof *c->values);
  c->page = calloc(LAYOUTS * positions, sizeof *c->page);
  if (!c->values || !c->page) return 3;
  for (size_t i = 0; i < doubles; ++i) c->values[i] = 1;
  place_pages(c);
  time_layouts(seconds, c, rounds, &sum);
  for (int layout = 0; layout < LAYOUTS; ++layout)
    printf("{\"page_positions\":%zu,\"page_bytes\":%zu,\"bytes_per_s\":%.4g,"
           "\"of_contiguous\":%.3f}\n",
           page_positions[layout], page_positions[layout] * c->width * sizeof(float),
           bytes / seconds[layout], seconds[0] / seconds[layout]);
  free(c->page);
  zh_big_free(c->values, doubles * sizeof *c->values);
  return sum == (double)doubles * rounds * LAYOUTS ? 0 : 1; /* each was read */
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  cache c = {.depth = strtoull(argv[1], NULL, 10),
             .layers = strtoull(argv[2], NULL, 10),
             .width = strtoull(argv[3], NULL, 10)};
  int rounds = atoi(argv[4]);
  if (c.depth == 0 || c.depth % 256 || c.depth > 1 << 20 || c.layers == 0 || c.layers > 500 ||
      c.width == 0 || c.width % 16 || c.width > 1 << 14 || rounds < 1)
    return 2;
  return measure(&c, rounds);
}
