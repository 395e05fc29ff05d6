/* Barriers that count arrivals and bytes, copied tiles, products of a warpgroup. The block's own
 * records stand beside its shared memory: a GPU's barrier is opaque, too. */
#include <map>

#include "engine.h"
#include "shim_hopper.h"
#include "shim_math.h"
#include "shim_matrix.h"

namespace zh_shim {

enum : uint32_t { ATOM_ROW = 128, CHUNK = 16, DEPTH_BYTES = 32, COLUMNS = 128, WARP_ROWS = 16 };
enum : uint64_t { LOOKS_MAX = 2000000 };

struct tile_copy {
  zh_tensor_map map;
  uint32_t column, row;
  zh_shared<unsigned char> to;
  site where;
};
struct counting_barrier {
  uint32_t arrivals, missing; /* of a phase; of this one */
  int64_t bytes;              /* announced and not come */
  uint64_t phase;
  std::vector<tile_copy> copies;
};
struct warp_product {
  uint64_t a, b;
  float *sums[WARP];
  unsigned group;
  bool e4m3, joins;
};
struct warp_products {
  std::vector<warp_product> begun;
  unsigned groups;
};
static std::map<const unsigned char *, counting_barrier> barriers;
static std::vector<warp_products> products; /* [warp] */
static uint64_t looks;                      /* since something last came */

bool plays_hopper;

/* Of each sixteen bytes of shared memory the thread, counted from 1, that wrote there and has not
 * fenced since. */
static uint16_t unfenced[SHARED_ARENA / CHUNK];
static std::vector<std::vector<uint32_t>> written; /* [thread]: which */

void begin_hopper(unsigned threads) {
  written.resize(THREADS_MAX);
  if (plays_hopper) {
    memset(unfenced, 0, sizeof unfenced);
    for (std::vector<uint32_t> &of : written) of.clear();
  }
  plays_hopper = false;
  barriers.clear();
  products.assign((threads + WARP - 1) / WARP, warp_products());
  looks = 0;
}

/* When all threads have ended. */
void end_hopper() {
  for (const auto &entry : barriers)
    if (!entry.second.copies.empty())
      fault("unwaited copy", entry.second.copies[0].where,
            "a tile is on its way to shared memory when its block ends");
  for (const warp_products &of : products)
    if (!of.begun.empty()) fault_of_launch("a product of a warpgroup was never waited for");
}

uint32_t shared_address(const unsigned char *at) {
  return (uint32_t)(at - now.shared);
}

void note_shared_write(const unsigned char *at, size_t bytes) {
  uint32_t first = shared_address(at) / CHUNK,
           last = (shared_address(at) + (uint32_t)bytes - 1) / CHUNK;
  for (uint32_t chunk = first; chunk <= last; chunk++) {
    unfenced[chunk] = (uint16_t)(now.thread + 1);
    written[now.thread].push_back(chunk);
  }
}

void fence_for_matrices() {
  for (uint32_t chunk : written[now.thread])
    if (unfenced[chunk] == now.thread + 1) unfenced[chunk] = 0;
  written[now.thread].clear();
}

/* --- barriers --- */

static counting_barrier &barrier_at(const zh_shared<uint64_t> &at, const site &where) {
  auto found = barriers.find(at.at);
  if (found == barriers.end()) {
    fault("no barrier", where, "a barrier at byte %u of shared memory that was not initialised",
          shared_address(at.at));
    stop_block();
  }
  return found->second;
}

void barrier_init(const zh_shared<uint64_t> &at, uint32_t arrivals, const site &where) {
  at.space.may(WRITE, at.at, sizeof(uint64_t), sizeof(uint64_t), where);
  plays_hopper = true;
  barriers[at.at] = counting_barrier{arrivals, arrivals, 0, 0, {}};
}

static void end_phase_if_over(counting_barrier &b) {
  if (b.missing || b.bytes) return;
  b.phase++;
  b.missing = b.arrivals;
}

void barrier_arrive(const zh_shared<uint64_t> &at, uint32_t bytes, const site &where) {
  counting_barrier &b = barrier_at(at, where);
  looks = 0;
  if (b.missing == 0) fault("arrivals", where, "more arrivals at a barrier than its phase has");
  if (b.missing) b.missing--;
  b.bytes += bytes;
  end_phase_if_over(b);
}

/* Bits 4 to 6 of an address xored with bits 7 to 9. */
static uint32_t swizzled(uint32_t address) {
  return address ^ (address >> 7 & 7u) << 4;
}

static void put_tile(const tile_copy &c) {
  const zh_tensor_map &map = c.map;
  uint32_t first = shared_address(c.to.at);
  for (uint32_t r = 0; r < map.box_rows; r++)
    for (uint32_t byte = 0; byte < ATOM_ROW; byte += CHUNK) {
      uint64_t column = c.column + byte / map.column_bytes, row = (uint64_t)c.row + r;
      unsigned char *to = now.shared + swizzled(first + r * ATOM_ROW + byte);
      size_t there = row >= map.rows || column >= map.columns
                         ? 0
                         : (size_t)(map.columns - column) * map.column_bytes;
      if (there > CHUNK) there = CHUNK;
      unfenced[shared_address(to) / CHUNK] = 0;
      memset(to, 0, CHUNK);
      if (!there) continue;
      const unsigned char *from = map.base.at + row * map.row_bytes + column * map.column_bytes;
      if (map.base.space.may(READ, from, there, map.column_bytes, c.where)) memcpy(to, from, there);
    }
}

/* One of the copies, drawn: they come in any order. */
static bool let_a_copy_come(counting_barrier &b) {
  if (b.copies.empty()) return false;
  size_t which = drawn((uint32_t)b.copies.size());
  tile_copy c = b.copies[which];
  b.copies.erase(b.copies.begin() + (ptrdiff_t)which);
  put_tile(c);
  looks = 0;
  b.bytes -= (int64_t)c.map.box_rows * ATOM_ROW;
  end_phase_if_over(b);
  return true;
}

void barrier_wait(const zh_shared<uint64_t> &at, uint32_t parity, const site &where) {
  for (;;) {
    counting_barrier &b = barrier_at(at, where);
    if ((b.phase & 1) != parity) return;
    if (let_a_copy_come(b)) continue;
    if (++looks > LOOKS_MAX) {
      fault("waits", where,
            "waits for a barrier's phase %llu (%u arrivals and %lld bytes are missing), and no "
            "thread of the block goes on",
            (unsigned long long)b.phase, b.missing, (long long)b.bytes);
      stop_block();
    }
    give_way();
  }
}

void tensor_load(const zh_shared<unsigned char> &to, const zh_tensor_map &map, uint32_t column,
                 uint32_t row, const zh_shared<uint64_t> &barrier, const site &where) {
  size_t bytes = (size_t)map.box_rows * ATOM_ROW;
  if (to.at < to.space.low || to.at > to.space.high || bytes > (size_t)(to.space.high - to.at) ||
      shared_address(to.at) % 1024 != 0) {
    fault("tile", where,
          "a tile of %zu bytes to byte %u of shared memory: out of bounds, or no "
          "multiple of 1024",
          bytes, shared_address(to.at));
    stop_block();
  }
  counting_barrier &b = barrier_at(barrier, where);
  b.copies.push_back(tile_copy{map, column, row, to, where});
  if (drawn(2)) let_a_copy_come(b);
}

/* --- products --- */

static void begin_product(offer *const lanes[32], bool e4m3) {
  warp_product p = {};
  memcpy(&p.a, lanes[0]->in[0], sizeof p.a);
  memcpy(&p.b, lanes[0]->in[1], sizeof p.b);
  p.e4m3 = e4m3;
  p.joins = lanes[0]->value != 0;
  for (unsigned i = 0; i < WARP; i++) {
    p.sums[i] = static_cast<float *>(lanes[i]->out);
    if (memcmp(lanes[i]->in[0], &p.a, sizeof p.a) != 0 ||
        memcmp(lanes[i]->in[1], &p.b, sizeof p.b) != 0)
      fault("descriptors", lanes[i]->where, "lanes of a warp multiply different matrices");
  }
  warp_products &all = products[now.thread / WARP];
  p.group = all.groups;
  all.begun.push_back(p);
}
void begin_wgmma_bf16(offer *const lanes[32]) {
  begin_product(lanes, false);
}
void begin_wgmma_e4m3(offer *const lanes[32]) {
  begin_product(lanes, true);
}

/* A byte of a row of an operand in shared memory: K-major, 128-byte swizzle. */
static uint32_t place_of(uint64_t descriptor, uint32_t row, uint32_t byte) {
  uint32_t start = (uint32_t)(descriptor & 0x3FFF) << 4;
  uint32_t stride = (uint32_t)(descriptor >> 32 & 0x3FFF) << 4;
  return swizzled(start + row / 8 * stride + row % 8 * ATOM_ROW + byte);
}

static bool is_readable(uint64_t descriptor, uint32_t rows) {
  if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0) return false;
  return place_of(descriptor, rows - 1, DEPTH_BYTES - 1) < current_launch()->shape.shared_bytes;
}

/* A row's 32 bytes: sixteen columns of bf16, or 32 of E4M3. */
static void read_row(float *out, uint64_t descriptor, uint32_t row, bool e4m3, const site &where) {
  for (uint32_t chunk = 0; chunk < DEPTH_BYTES; chunk += CHUNK) {
    uint32_t place = place_of(descriptor, row, chunk);
    uint16_t bits, writer = unfenced[place / CHUNK];
    if (writer)
      fault("unfenced", where,
            "multiplies byte %u of shared memory, which thread %s wrote and did not fence", place,
            thread_name(writer - 1u).c_str());
    for (uint32_t i = 0; i < CHUNK; i += e4m3 ? 1 : 2) {
      memcpy(&bits, now.shared + place + i, e4m3 ? 1 : 2);
      *out++ = e4m3 ? e4m3_value(bits & 255u) : zh_float((uint32_t)bits << 16);
    }
  }
}

static float &sum_of(const warp_product &p, uint32_t r, uint32_t n) {
  return p.sums[r % 8 * 4 + n % 8 / 2][n / 8 * 4 + r / 8 * 2 + n % 2];
}

/* Sixteen rows of a by all of b, k ascending. */
static void multiply_bf16(const warp_product &p, const float (&a)[WARP_ROWS][DEPTH_BYTES],
                          const float (&b)[COLUMNS][DEPTH_BYTES]) {
  static float turned[DEPTH_BYTES / 2][COLUMNS];
  for (uint32_t k = 0; k < DEPTH_BYTES / 2; k++)
    for (uint32_t n = 0; n < COLUMNS; n++) turned[k][n] = b[n][k];
  for (uint32_t r = 0; r < WARP_ROWS; r++) {
    float sum[COLUMNS];
    for (uint32_t n = 0; n < COLUMNS; n++) sum[n] = p.joins ? sum_of(p, r, n) : 0.0f;
    for (uint32_t k = 0; k < DEPTH_BYTES / 2; k++)
      for (uint32_t n = 0; n < COLUMNS; n++) sum[n] += a[r][k] * turned[k][n];
    for (uint32_t n = 0; n < COLUMNS; n++) sum_of(p, r, n) = kept_sum(sum[n]);
  }
}

/* A warp has sixteen of the 64 rows. */
static void multiply(const warp_product &p, unsigned warp, const site &where) {
  static float a[WARP_ROWS][DEPTH_BYTES], b[COLUMNS][DEPTH_BYTES];
  for (uint32_t r = 0; r < WARP_ROWS; r++)
    read_row(a[r], p.a, warp % 4 * WARP_ROWS + r, p.e4m3, where);
  for (uint32_t n = 0; n < COLUMNS; n++) read_row(b[n], p.b, n, p.e4m3, where);
  if (!p.e4m3) return multiply_bf16(p, a, b);
  for (uint32_t r = 0; r < WARP_ROWS; r++)
    for (uint32_t n = 0; n < COLUMNS; n++)
      sum_of(p, r, n) = add_e4m3(p.joins ? sum_of(p, r, n) : 0.0f, a[r], b[n]);
}

static void commit_together(offer *const[32]) {
  products[now.thread / WARP].groups++;
}
void commit_wgmmas() {
  offer mine = {MMA, 0xFFFFFFFFu, site{"", 0}, 0, 0, {nullptr, nullptr}, nullptr, commit_together};
  meet_warp(mine);
}

static void wait_together(offer *const lanes[32]) {
  unsigned warp = now.thread / WARP;
  warp_products &all = products[warp];
  unsigned pending = (unsigned)lanes[0]->value;
  unsigned done = all.groups > pending ? all.groups - pending : 0;
  size_t kept = 0;
  for (const warp_product &p : all.begun) {
    if (p.group >= done)
      all.begun[kept++] = p;
    else if (is_readable(p.a, 64) && is_readable(p.b, COLUMNS))
      multiply(p, warp, lanes[0]->where);
    else
      fault("descriptor", lanes[0]->where,
            "descriptors 0x%016llX, 0x%016llX: not of rows with 128-byte swizzle in the block's "
            "shared memory",
            (unsigned long long)p.a, (unsigned long long)p.b);
  }
  all.begun.resize(kept);
}
void wait_for_wgmmas(unsigned pending, const site &where) {
  offer mine = {MMA, 0xFFFFFFFFu, where, pending, 0, {nullptr, nullptr}, nullptr, wait_together};
  meet_warp(mine);
}

} // namespace zh_shim
