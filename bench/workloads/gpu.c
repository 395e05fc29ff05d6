#include "bench/workloads/gpu.h"

#include <stdio.h>
#include <string.h>

#include "bench/device_place.h"
#include "bench/placement.h"

static void note_facts(const zh_gpu *g, zh_job *job) {
  const zh_device_facts *f = &g->facts;
  char capability[16];
  snprintf(capability, sizeof capability, "%d.%d", f->major, f->minor);
  json_object_set_new(job->facts, "gpu",
                      json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:I,s:I,s:i,s:b,s:b,s:s,s:s}",
                                "backend", g->api->backend, "build", g->api->build, "index",
                                g->index, "name", f->name, "uuid", f->uuid, "bus", f->bus,
                                "capability", capability, "memory_bytes",
                                (json_int_t)f->memory_bytes, "l2_bytes", (json_int_t)f->l2_bytes,
                                "multiprocessors", (int)f->multiprocessors, "ecc", f->ecc, "mig",
                                f->mig, "driver", f->driver, "runtime", f->runtime));
}

/* Collective, before anything that one rank may fail in alone. */
static zh_status open_device(zh_gpu *g, zh_job *job, zh_error *err) {
  int count = 0, place = 0;
  ZH_TRY(zh_device_place(&place, 1 + (int)zh_job_int(job, "device"), job->comm, err));
  g->index = place - 1;
  ZH_TRY(zh_device_open_module(&g->api, err));
  g->limits = g->api->limits;
  if (!g->limits)
    return zh_fail(err, ZH_ERR_LACKING, "the module '%s' does not measure the machine's limits",
                   g->api->backend);
  ZH_TRY(g->api->count(&count, err));
  if (g->index >= count)
    return zh_fail(err, ZH_ERR_LACKING,
                   "this rank would take GPU %d, but its node has %d (counted from 0)", g->index,
                   count);
  ZH_TRY(g->api->facts(&g->facts, g->index, err));
  zh_place_near(g->facts.bus);
  ZH_TRY(g->api->open(&g->device, g->index, err));
  ZH_TRY(g->api->event(g->device, &g->begin, err));
  return g->api->event(g->device, &g->end, err);
}

zh_status zh_gpu_open(zh_gpu *out, zh_job *job, zh_error *err) {
  memset(out, 0, sizeof *out);
  zh_status status = open_device(out, job, err);
  if (status == ZH_OK) status = zh_gpu_watch_add(job->watch, out->facts.bus, err);
  if (status != ZH_OK) {
    zh_gpu_close(out);
    return status;
  }
  note_facts(out, job);
  return ZH_OK;
}

void zh_gpu_close(zh_gpu *g) {
  if (!g->device) return;
  g->api->release_event(g->device, g->begin);
  g->api->release_event(g->device, g->end);
  g->api->close(g->device);
  memset(g, 0, sizeof *g);
}

zh_status zh_gpu_begin(zh_gpu *g, zh_error *err) {
  return g->api->record(g->device, g->begin, err);
}

zh_status zh_gpu_end(zh_gpu *g, double *ns, zh_error *err) {
  double seconds = 0;
  ZH_TRY(g->api->record(g->device, g->end, err));
  ZH_TRY(g->api->elapsed_s(g->device, &seconds, g->begin, g->end, err));
  ZH_TRY(g->api->wait(g->device, err));
  *ns = seconds * 1e9;
  return ZH_OK;
}

zh_status zh_gpu_put(zh_gpu *g, void *to, const void *from, size_t bytes, zh_error *err) {
  ZH_TRY(g->api->upload(g->device, to, from, bytes, err));
  return g->api->wait(g->device, err);
}

zh_status zh_gpu_get(zh_gpu *g, void *to, const void *from, size_t bytes, zh_error *err) {
  ZH_TRY(g->api->download(g->device, to, from, bytes, err));
  return g->api->wait(g->device, err);
}

uint32_t zh_flow_sum(uint32_t key, uint64_t words) {
  uint64_t blocks = words / ZH_FLOW_BLOCK;
  uint32_t block = 0, sum = 0;
  for (uint64_t i = 0; blocks > 0 && i < ZH_FLOW_BLOCK; i++) block += zh_flow_word(key, i);
  for (uint64_t b = 0; b < blocks; b++)
    sum += block + (zh_flow_word(key, b * ZH_FLOW_BLOCK) - zh_flow_word(key, 0)) * ZH_FLOW_BLOCK;
  for (uint64_t i = blocks * ZH_FLOW_BLOCK; i < words; i++) sum += zh_flow_word(key, i);
  return sum;
}

bool zh_job_lists(const zh_job *job, const char *parameter, const char *word) {
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(job->parameters, parameter), i, item) {
    if (strcmp(json_string_value(item), word) == 0) return true;
  }
  return false;
}
