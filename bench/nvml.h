/* NVIDIA's management library, looked up at run time (ZH_NVML names the file, else
 * libnvidia-ml.so.1) and never needed: which GPUs a driver shows, and how they are. What a library,
 * driver or device does not say stays unknown, and is never a failure. */
#ifndef ZH_BENCH_NVML_H
#define ZH_BENCH_NVML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zh_nvml zh_nvml;
typedef void *zh_nvml_device; /* borrowed from the library */

/* ZH_ERR_LACKING with one sentence: no driver, its library not installed or too old, no answer. */
ZH_MUST_CHECK zh_status zh_nvml_open(zh_nvml **out, zh_error *err);
void zh_nvml_close(zh_nvml *nvml); /* NULL is safe */

const char *zh_nvml_driver(const zh_nvml *nvml); /* "580.65.06"; "" unknown */
unsigned zh_nvml_count(const zh_nvml *nvml);
bool zh_nvml_at(zh_nvml_device *out, const zh_nvml *nvml, unsigned index);
/* By PCI address, "0000:17:00.0"; of a MIG slice the whole GPU. */
bool zh_nvml_on_bus(zh_nvml_device *out, const zh_nvml *nvml, const char *bus);
int zh_nvml_index(const zh_nvml *nvml, zh_nvml_device device); /* -1 unknown */
void zh_nvml_name(char *out, size_t capacity, const zh_nvml *nvml, zh_nvml_device device);
uint64_t zh_nvml_memory_bytes(const zh_nvml *nvml, zh_nvml_device device); /* 0 unknown */
bool zh_nvml_is_cut(const zh_nvml *nvml, zh_nvml_device device);           /* into MIG slices */
/* Processes that compute on it now; -1 unknown. */
int zh_nvml_processes(const zh_nvml *nvml, zh_nvml_device device);

/* NAN and -1: not said. */
typedef struct zh_nvml_reading {
  double sm_mhz, memory_mhz, power_w, temperature_c;
  int64_t reasons;                        /* bits of zh_nvml_reason_names */
  int64_t energy_mj;                      /* since the driver was loaded */
  int64_t ecc_corrected, ecc_uncorrected; /* since then, too */
} zh_nvml_reading;
void zh_nvml_read(zh_nvml_reading *out, const zh_nvml *nvml, zh_nvml_device device);

/* Name of bit i of the reasons for clocks below their highest, NULL where it has none. */
enum { ZH_NVML_REASONS = 9 };
extern const char *const zh_nvml_reason_names[ZH_NVML_REASONS];
/* Bits that slow a GPU down although there is work: limits of power and heat, not settings. */
extern const int64_t zh_nvml_throttled;

/* Xid errors: registers the device; false where the library cannot tell. */
bool zh_nvml_watch_xid(zh_nvml *nvml, zh_nvml_device device);
/* One that came since the last call; false where there is none. Never waits. */
bool zh_nvml_next_xid(zh_nvml *nvml, zh_nvml_device *device, uint64_t *xid);

#ifdef __cplusplus
}
#endif
#endif
