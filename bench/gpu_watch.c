#include "bench/gpu_watch.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/nvml.h"
#include "bench/placement.h"
#include "core/clock.h"

enum { PERIOD_MS = 50, SOON_MS = 20, DEVICES_MAX = 4, XIDS_MAX = 8, NOTE_BYTES = 160 };

/* Least, largest and sum of the readings that said it. */
typedef struct spread {
  double least, most, sum;
  int64_t count;
} spread;

/* What was seen of one GPU; without pointers, so that ranks can gather it. */
typedef struct seen {
  bool watched;
  char host[64], name[96], bus[32], note[NOTE_BYTES];
  int index, rank;
  int64_t readings, timed_readings;
  double timed_s;
  spread power, sm, memory, temperature;   /* of timed readings */
  int64_t reasons[ZH_NVML_REASONS], known; /* timed readings with the reason; that said anything */
  int64_t throttled;                       /* timed readings with any reason that slows down */
  int64_t corrected, uncorrected;          /* ECC errors since the first reading; -1 unknown */
  int64_t meter_mj;                        /* the GPU's own meter since then; -1 unknown */
  uint64_t xids[XIDS_MAX];
  int64_t xid_count;
} seen;

typedef struct watched_gpu {
  zh_nvml_device device;
  FILE *lines;
  zh_nvml_reading first;
  seen seen;
} watched_gpu;

struct zh_gpu_watch {
  const char *folder, *step;
  int rank;
  zh_nvml *nvml;
  watched_gpu gpus[DEVICES_MAX];
  int count;
  pthread_t thread;
  bool runs;
  /* Under the lock. */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool ends, wanted, timed, was_timed; /* was: at some moment since the last reading */
  int64_t region_begin_ns, read_ns;
  double region_power, timed_s;
  int64_t region_readings;
};

/* --- one reading --- */

static void add_to(spread *s, double value) {
  if (isnan(value)) return;
  if (s->count == 0 || value < s->least) s->least = value;
  if (s->count == 0 || value > s->most) s->most = value;
  s->sum += value;
  s->count++;
}

static int64_t since(int64_t first, int64_t now) {
  return first < 0 || now < 0 ? -1 : now - first;
}

static void keep(watched_gpu *g, const zh_nvml_reading *r, bool timed) {
  seen *s = &g->seen;
  if (s->readings++ == 0) g->first = *r;
  s->corrected = since(g->first.ecc_corrected, r->ecc_corrected);
  s->uncorrected = since(g->first.ecc_uncorrected, r->ecc_uncorrected);
  s->meter_mj = since(g->first.energy_mj, r->energy_mj);
  if (!timed) return;
  s->timed_readings++;
  add_to(&s->power, r->power_w);
  add_to(&s->sm, r->sm_mhz);
  add_to(&s->memory, r->memory_mhz);
  add_to(&s->temperature, r->temperature_c);
  if (r->reasons < 0) return;
  s->known++;
  s->throttled += (r->reasons & zh_nvml_throttled) != 0;
  for (int i = 0; i < ZH_NVML_REASONS; i++) s->reasons[i] += r->reasons >> i & 1;
}

static json_t *count_or_null(int64_t count) {
  return count < 0 ? json_null() : json_integer((json_int_t)count);
}

static json_t *reasons_json(int64_t reasons) {
  if (reasons < 0) return json_null();
  json_t *list = json_array();
  for (int i = 0; i < ZH_NVML_REASONS; i++)
    if (reasons >> i & 1) json_array_append_new(list, json_string(zh_nvml_reason_names[i]));
  return list;
}

/* A line that cannot be written is missing; the summary does not need it. */
static void write_line(FILE *file, json_t *line) {
  char *text = NULL;
  if (file && line && zh_json_dump_line(&text, line, NULL) == ZH_OK) fprintf(file, "%s\n", text);
  free(text);
  json_decref(line);
}

static void write_reading(const zh_gpu_watch *w, const watched_gpu *g, const zh_nvml_reading *r,
                          int64_t now_ns, bool timed) {
  write_line(g->lines,
             json_pack("{s:s,s:i,s:I,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "step", w->step, "rank",
                       w->rank, "t_ns", (json_int_t)now_ns, "timed", timed, "sm_mhz",
                       zh_json_number(r->sm_mhz), "memory_mhz", zh_json_number(r->memory_mhz),
                       "power_w", zh_json_number(r->power_w), "temperature_c",
                       zh_json_number(r->temperature_c), "reasons", reasons_json(r->reasons),
                       "energy_mj", count_or_null(r->energy_mj), "ecc_corrected",
                       count_or_null(r->ecc_corrected), "ecc_uncorrected",
                       count_or_null(r->ecc_uncorrected)));
}

static void take_xids(zh_gpu_watch *w) {
  zh_nvml_device device;
  uint64_t xid;
  while (zh_nvml_next_xid(w->nvml, &device, &xid))
    for (int i = 0; i < w->count; i++) {
      seen *s = &w->gpus[i].seen;
      if (w->gpus[i].device != device) continue;
      if (s->xid_count < XIDS_MAX) s->xids[s->xid_count] = xid;
      s->xid_count++;
      write_line(w->gpus[i].lines,
                 json_pack("{s:s,s:i,s:I,s:I}", "step", w->step, "rank", w->rank, "t_ns",
                           (json_int_t)zh_now_ns(), "xid", (json_int_t)xid));
    }
}

static void read_all(zh_gpu_watch *w) {
  zh_nvml_reading readings[DEVICES_MAX];
  double power = 0;
  for (int i = 0; i < w->count; i++) {
    zh_nvml_read(&readings[i], w->nvml, w->gpus[i].device);
    power += readings[i].power_w; /* NAN stays */
  }
  pthread_mutex_lock(&w->lock);
  int64_t now_ns = zh_now_ns();
  bool timed = w->timed || w->was_timed;
  if (w->timed && !isnan(power)) {
    w->region_power += power;
    w->region_readings++;
  }
  w->was_timed = w->wanted = false;
  w->read_ns = now_ns;
  for (int i = 0; i < w->count; i++) keep(&w->gpus[i], &readings[i], timed);
  pthread_mutex_unlock(&w->lock);
  for (int i = 0; i < w->count; i++) write_reading(w, &w->gpus[i], &readings[i], now_ns, timed);
  take_xids(w);
}

/* --- the thread --- */

static struct timespec period_from_now(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += PERIOD_MS * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    until.tv_sec++;
  }
  return until;
}

static void *watch_thread(void *user) {
  zh_gpu_watch *w = user;
  bool ends = false;
  while (!ends) {
    struct timespec until = period_from_now();
    read_all(w);
    pthread_mutex_lock(&w->lock);
    while (!w->ends && !w->wanted && pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0)
      continue;
    ends = w->ends;
    pthread_mutex_unlock(&w->lock);
  }
  read_all(w);
  return NULL;
}

/* Not where the thread that is timed is placed: it would be interrupted with each reading. */
static bool start_thread(zh_gpu_watch *w) {
  pthread_attr_t how;
  cpu_set_t cpus;
  zh_process_cpus(&cpus);
  if (pthread_attr_init(&how) != 0) return false;
  if (CPU_COUNT(&cpus) > 0) (void)pthread_attr_setaffinity_np(&how, sizeof cpus, &cpus);
  bool started = pthread_create(&w->thread, &how, watch_thread, w) == 0;
  pthread_attr_destroy(&how);
  return started;
}

static void end_thread(zh_gpu_watch *w) {
  if (!w->runs) return;
  pthread_mutex_lock(&w->lock);
  w->ends = true;
  pthread_cond_signal(&w->changed);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  w->runs = false;
}

/* --- regions --- */

void zh_gpu_watch_begin(zh_gpu_watch *w) {
  if (!w || !w->runs) return;
  pthread_mutex_lock(&w->lock);
  w->region_begin_ns = zh_now_ns();
  w->region_power = 0;
  w->region_readings = 0;
  w->timed = w->was_timed = true;
  /* A region shorter than the period has a reading of its own where the last is not fresh. */
  w->wanted = w->region_begin_ns - w->read_ns > (int64_t)SOON_MS * 1000000;
  if (w->wanted) pthread_cond_signal(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

double zh_gpu_watch_end(zh_gpu_watch *w) {
  if (!w || !w->runs) return NAN;
  pthread_mutex_lock(&w->lock);
  w->timed = false;
  w->timed_s += (double)(zh_now_ns() - w->region_begin_ns) * 1e-9;
  double power = w->region_readings > 0 ? w->region_power / (double)w->region_readings : NAN;
  pthread_mutex_unlock(&w->lock);
  return power;
}

/* --- devices --- */

zh_status zh_gpu_watch_new(zh_gpu_watch **out, const char *folder, const char *step, int rank,
                           zh_error *err) {
  pthread_condattr_t monotonic;
  *out = NULL;
  zh_gpu_watch *w = calloc(1, sizeof *w);
  if (!w) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  w->folder = folder;
  w->step = step;
  w->rank = rank;
  pthread_mutex_init(&w->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&w->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  *out = w;
  return ZH_OK;
}

static void open_lines(zh_gpu_watch *w, watched_gpu *g) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/gpu-%d.jsonl", w->folder, g->seen.index);
  g->lines = fopen(path, "ae");
  if (g->lines)
    setvbuf(g->lines, NULL, _IOLBF, BUFSIZ); /* whole lines, of ranks of other nodes too */
}

/* Finds the GPU in NVML; the note says why it is not watched. */
static void find_gpu(zh_gpu_watch *w, watched_gpu *g) {
  zh_error why = ZH_ERROR_INIT;
  seen *s = &g->seen;
  if (!w->nvml && zh_nvml_open(&w->nvml, &why) != ZH_OK) {
    snprintf(s->note, sizeof s->note, "%.*s", NOTE_BYTES - 1, why.message);
  } else if (!zh_nvml_on_bus(&g->device, w->nvml, s->bus)) {
    snprintf(s->note, sizeof s->note, "the driver's library does not know the GPU at %s", s->bus);
  } else {
    s->watched = true;
    s->index = zh_nvml_index(w->nvml, g->device);
    zh_nvml_name(s->name, sizeof s->name, w->nvml, g->device);
    if (zh_nvml_is_cut(w->nvml, g->device))
      snprintf(s->note, sizeof s->note,
               "this is a MIG slice: power, clocks and heat are those of the whole GPU");
    (void)zh_nvml_watch_xid(w->nvml, g->device);
  }
}

zh_status zh_gpu_watch_add(zh_gpu_watch *w, const char *bus, zh_error *err) {
  if (!w) return ZH_OK;
  if (w->count == DEVICES_MAX)
    return zh_fail(err, ZH_ERR_ARG, "a rank watches at most %d GPUs", DEVICES_MAX);
  end_thread(w);
  watched_gpu *g = &w->gpus[w->count];
  *g = (watched_gpu){.seen = {.index = -1, .corrected = -1, .uncorrected = -1, .meter_mj = -1}};
  snprintf(g->seen.bus, sizeof g->seen.bus, "%s", bus);
  gethostname(g->seen.host, sizeof g->seen.host - 1);
  find_gpu(w, g);
  w->count++;
  /* One that is not watched keeps its place in the summary; readings are of those in front. */
  for (int i = 0; i < w->count; i++)
    if (!w->gpus[i].seen.watched) return ZH_OK;
  open_lines(w, g);
  w->ends = false;
  w->runs = start_thread(w);
  return w->runs ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "cannot start a thread to watch the GPUs");
}

bool zh_gpu_watch_is_on(const zh_gpu_watch *w) {
  return w && w->count > 0;
}

void zh_gpu_watch_free(zh_gpu_watch *w) {
  if (!w) return;
  end_thread(w);
  for (int i = 0; i < w->count; i++)
    if (w->gpus[i].lines) fclose(w->gpus[i].lines);
  zh_nvml_close(w->nvml);
  pthread_cond_destroy(&w->changed);
  pthread_mutex_destroy(&w->lock);
  free(w);
}

/* --- the summary --- */

static json_t *spread_json(const spread *s) {
  if (s->count == 0) return json_null();
  return json_pack("{s:o,s:o,s:o}", "least", zh_json_number(s->least), "mean",
                   zh_json_number(s->sum / (double)s->count), "most", zh_json_number(s->most));
}

static json_t *reason_counts(const seen *s) {
  if (s->known == 0) return json_null();
  json_t *counts = json_object();
  for (int i = 0; i < ZH_NVML_REASONS; i++)
    if (s->reasons[i] > 0)
      json_object_set_new(counts, zh_nvml_reason_names[i], json_integer((json_int_t)s->reasons[i]));
  return counts;
}

static json_t *xids_json(const seen *s) {
  json_t *list = json_array();
  for (int i = 0; i < s->xid_count && i < XIDS_MAX; i++)
    json_array_append_new(list, json_integer((json_int_t)s->xids[i]));
  return list;
}

static json_t *seen_json(const seen *s) {
  bool powered = s->power.count > 0;
  double mean_w = powered ? s->power.sum / (double)s->power.count : NAN;
  return json_pack(
      "{s:i,s:s,s:i,s:s,s:s,s:b,s:s,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",
      "rank", s->rank, "host", s->host, "index", s->index, "name", s->name, "bus", s->bus,
      "watched", s->watched, "note", s->note, "readings", (json_int_t)s->readings, "timed_readings",
      (json_int_t)s->timed_readings, "timed_s", zh_json_number(s->timed_s), "power_w",
      spread_json(&s->power), "energy_j", zh_json_number(mean_w * s->timed_s), "meter_j",
      s->meter_mj < 0 ? json_null() : zh_json_number((double)s->meter_mj / 1e3), "sm_mhz",
      spread_json(&s->sm), "memory_mhz", spread_json(&s->memory), "temperature_c",
      spread_json(&s->temperature), "reasons", reason_counts(s), "throttled_readings",
      s->known > 0 ? json_integer((json_int_t)s->throttled) : json_null(), "ecc_corrected",
      count_or_null(s->corrected), "ecc_uncorrected", count_or_null(s->uncorrected), "xid",
      xids_json(s));
}

static json_t *all_json(const seen *all, int count) {
  json_t *list = json_array();
  for (int i = 0; i < count; i++)
    if (all[i].bus[0]) json_array_append_new(list, seen_json(&all[i]));
  return list;
}

zh_status zh_gpu_watch_finish(json_t **out, zh_gpu_watch *w, const zh_comm *comm, zh_error *err) {
  seen mine[DEVICES_MAX] = {{0}};
  double on = zh_gpu_watch_is_on(w);
  *out = NULL;
  /* One that failed before it added its GPU must not leave the others waiting. */
  ZH_TRY(comm->max_f64(comm, &on, 1, err));
  if (on == 0 || !w) return ZH_OK;
  end_thread(w);
  for (int i = 0; i < w->count; i++) {
    mine[i] = w->gpus[i].seen;
    mine[i].rank = comm->rank;
    mine[i].timed_s = w->timed_s;
  }
  seen *all = calloc((size_t)comm->size, sizeof mine);
  if (!all) return zh_fail(err, ZH_ERR_MEMORY, "out of memory for what was seen of the GPUs");
  zh_status status = comm->gather(comm, mine, sizeof mine, all, 0, err);
  if (status == ZH_OK && comm->rank == 0) *out = all_json(all, comm->size * DEVICES_MAX);
  free(all);
  return status;
}
