/* Prototypes, constants and structures below are those of NVIDIA's public NVML API reference. */
#include "bench/nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, TEMPERATURE_GPU = 0 };
enum { ECC_CORRECTED = 0, ECC_UNCORRECTED = 1, ECC_SINCE_LOAD = 0 };
enum { FIELD_POWER_INSTANT = 186, EVENT_XID = 8, SUCCESS = 0, INSUFFICIENT_SIZE = 7 };

const char *const zh_nvml_reason_names[ZH_NVML_REASONS] = {
    "idle",         "application_clocks", "power_cap",        "hardware_slowdown",
    "sync_boost",   "thermal_slowdown",   "hardware_thermal", "power_brake",
    "display_clock"};
const int64_t zh_nvml_throttled = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7;

typedef struct memory_info {
  unsigned long long total, free, used;
} memory_info;
typedef struct event_data {
  zh_nvml_device device;
  unsigned long long type, data;
  unsigned gpu_instance, compute_instance;
} event_data;
typedef struct field_value {
  unsigned field, scope;
  long long timestamp, latency_us;
  int type, status; /* type 1: unsigned int */
  union {
    double real;
    unsigned whole;
    unsigned long long wide;
  } value;
} field_value;

struct zh_nvml {
  void *library;
  void *events; /* event set; NULL: none was made */
  char driver[96];
  /* Needed. */
  int (*init)(void);
  int (*shutdown)(void);
  int (*count)(unsigned *);
  int (*handle)(unsigned, zh_nvml_device *);
  /* The rest may be missing. */
  int (*driver_version)(char *, unsigned);
  int (*by_bus)(const char *, zh_nvml_device *);
  int (*index)(zh_nvml_device, unsigned *);
  int (*name)(zh_nvml_device, char *, unsigned);
  int (*memory)(zh_nvml_device, memory_info *);
  int (*mig)(zh_nvml_device, unsigned *, unsigned *);
  int (*processes)(zh_nvml_device, unsigned *, void *);
  int (*clock)(zh_nvml_device, int, unsigned *);
  int (*power)(zh_nvml_device, unsigned *);
  int (*fields)(zh_nvml_device, int, field_value *);
  int (*temperature)(zh_nvml_device, int, unsigned *);
  int (*reasons)(zh_nvml_device, unsigned long long *);
  int (*energy)(zh_nvml_device, unsigned long long *);
  int (*ecc)(zh_nvml_device, int, int, unsigned long long *);
  int (*make_events)(void **);
  int (*free_events)(void *);
  int (*watch)(zh_nvml_device, unsigned long long, void *);
  int (*next)(void *, event_data *, unsigned);
};

/* --- opening --- */

/* POSIX lets a function pointer travel through void *; ISO C needs the copy. */
static bool find(const zh_nvml *n, void *function, const char *name) {
  void *symbol = dlsym(n->library, name);
  memcpy(function, &symbol, sizeof symbol);
  return symbol != NULL;
}

static bool find_needed(zh_nvml *n) {
  return find(n, &n->init, "nvmlInit_v2") && find(n, &n->shutdown, "nvmlShutdown") &&
         find(n, &n->count, "nvmlDeviceGetCount_v2") &&
         find(n, &n->handle, "nvmlDeviceGetHandleByIndex_v2");
}

static void find_rest(zh_nvml *n) {
  find(n, &n->driver_version, "nvmlSystemGetDriverVersion");
  find(n, &n->by_bus, "nvmlDeviceGetHandleByPciBusId_v2");
  find(n, &n->index, "nvmlDeviceGetIndex");
  find(n, &n->name, "nvmlDeviceGetName");
  find(n, &n->memory, "nvmlDeviceGetMemoryInfo");
  find(n, &n->mig, "nvmlDeviceGetMigMode");
  find(n, &n->processes, "nvmlDeviceGetComputeRunningProcesses_v3");
  find(n, &n->clock, "nvmlDeviceGetClockInfo");
  find(n, &n->power, "nvmlDeviceGetPowerUsage");
  find(n, &n->fields, "nvmlDeviceGetFieldValues");
  find(n, &n->temperature, "nvmlDeviceGetTemperature");
  if (!find(n, &n->reasons, "nvmlDeviceGetCurrentClocksEventReasons"))
    find(n, &n->reasons, "nvmlDeviceGetCurrentClocksThrottleReasons"); /* its name before R535 */
  find(n, &n->energy, "nvmlDeviceGetTotalEnergyConsumption");
  find(n, &n->ecc, "nvmlDeviceGetTotalEccErrors");
  find(n, &n->make_events, "nvmlEventSetCreate");
  find(n, &n->free_events, "nvmlEventSetFree");
  find(n, &n->watch, "nvmlDeviceRegisterEvents");
  find(n, &n->next, "nvmlEventSetWait_v2");
}

static zh_status fail_absent(zh_error *err) {
  if (access("/proc/driver/nvidia/version", F_OK) == 0)
    return zh_fail(err, ZH_ERR_LACKING,
                   "the NVIDIA kernel driver is loaded, but its library libnvidia-ml.so.1 is not "
                   "installed");
  return zh_fail(err, ZH_ERR_LACKING,
                 "no NVIDIA driver is installed (libnvidia-ml.so.1 and /proc/driver/nvidia are "
                 "absent)");
}

zh_status zh_nvml_open(zh_nvml **out, zh_error *err) {
  const char *asked = getenv("ZH_NVML");
  const char *file = asked && *asked ? asked : "libnvidia-ml.so.1";
  int status = 0;
  *out = NULL;
  zh_nvml *n = calloc(1, sizeof *n);
  if (!n) return zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  n->library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  zh_status failed = ZH_OK;
  if (!n->library)
    failed = fail_absent(err);
  else if (!find_needed(n))
    failed = zh_fail(err, ZH_ERR_LACKING, "%s is too old: it lacks the calls that list GPUs", file);
  else if ((status = n->init()) != SUCCESS)
    failed = zh_fail(err, ZH_ERR_LACKING, "%s is installed, but no driver answers (status %d)",
                     file, status);
  if (failed != ZH_OK) {
    if (n->library) dlclose(n->library);
    free(n);
    return failed;
  }
  find_rest(n);
  if (!n->driver_version || n->driver_version(n->driver, sizeof n->driver) != SUCCESS)
    n->driver[0] = '\0';
  *out = n;
  return ZH_OK;
}

void zh_nvml_close(zh_nvml *n) {
  if (!n) return;
  if (n->events && n->free_events) n->free_events(n->events);
  n->shutdown();
  dlclose(n->library);
  free(n);
}

/* --- devices --- */

const char *zh_nvml_driver(const zh_nvml *n) {
  return n->driver;
}

unsigned zh_nvml_count(const zh_nvml *n) {
  unsigned count = 0;
  return n->count(&count) == SUCCESS ? count : 0;
}

bool zh_nvml_at(zh_nvml_device *out, const zh_nvml *n, unsigned index) {
  *out = NULL;
  return n->handle(index, out) == SUCCESS;
}

bool zh_nvml_on_bus(zh_nvml_device *out, const zh_nvml *n, const char *bus) {
  *out = NULL;
  return n->by_bus && n->by_bus(bus, out) == SUCCESS;
}

int zh_nvml_index(const zh_nvml *n, zh_nvml_device device) {
  unsigned index = 0;
  return n->index && n->index(device, &index) == SUCCESS ? (int)index : -1;
}

void zh_nvml_name(char *out, size_t capacity, const zh_nvml *n, zh_nvml_device device) {
  out[0] = '\0';
  if (!n->name || n->name(device, out, (unsigned)capacity) != SUCCESS) out[0] = '\0';
  out[capacity - 1] = '\0';
}

uint64_t zh_nvml_memory_bytes(const zh_nvml *n, zh_nvml_device device) {
  memory_info info = {0};
  return n->memory && n->memory(device, &info) == SUCCESS ? info.total : 0;
}

bool zh_nvml_is_cut(const zh_nvml *n, zh_nvml_device device) {
  unsigned now = 0, later = 0;
  return n->mig && n->mig(device, &now, &later) == SUCCESS && now == 1;
}

int zh_nvml_processes(const zh_nvml *n, zh_nvml_device device) {
  unsigned count = 0; /* no room: the library says how many there are */
  int status = n->processes ? n->processes(device, &count, NULL) : -1;
  return status == SUCCESS || status == INSUFFICIENT_SIZE ? (int)count : -1;
}

/* --- readings --- */

static double read_clock(const zh_nvml *n, zh_nvml_device device, int which) {
  unsigned mhz = 0;
  return n->clock && n->clock(device, which, &mhz) == SUCCESS ? (double)mhz : (double)NAN;
}

/* The present draw where the device has it; else the driver's own mean, over a second on Hopper. */
static double read_power(const zh_nvml *n, zh_nvml_device device) {
  field_value now = {.field = FIELD_POWER_INSTANT};
  unsigned milliwatts = 0;
  if (n->fields && n->fields(device, 1, &now) == SUCCESS && now.status == SUCCESS && now.type == 1)
    return now.value.whole / 1e3;
  return n->power && n->power(device, &milliwatts) == SUCCESS ? milliwatts / 1e3 : NAN;
}

static int64_t read_ecc(const zh_nvml *n, zh_nvml_device device, int kind) {
  unsigned long long count = 0;
  bool said = n->ecc && n->ecc(device, kind, ECC_SINCE_LOAD, &count) == SUCCESS;
  return said ? (int64_t)count : -1;
}

void zh_nvml_read(zh_nvml_reading *out, const zh_nvml *n, zh_nvml_device device) {
  unsigned celsius = 0;
  unsigned long long reasons = 0, energy = 0;
  out->sm_mhz = read_clock(n, device, CLOCK_SM);
  out->memory_mhz = read_clock(n, device, CLOCK_MEMORY);
  out->power_w = read_power(n, device);
  bool warm = n->temperature && n->temperature(device, TEMPERATURE_GPU, &celsius) == SUCCESS;
  out->temperature_c = warm ? (double)celsius : (double)NAN;
  bool known = n->reasons && n->reasons(device, &reasons) == SUCCESS;
  out->reasons = known ? (int64_t)(reasons & ((1u << ZH_NVML_REASONS) - 1)) : -1;
  bool metered = n->energy && n->energy(device, &energy) == SUCCESS;
  out->energy_mj = metered ? (int64_t)energy : -1;
  out->ecc_corrected = read_ecc(n, device, ECC_CORRECTED);
  out->ecc_uncorrected = read_ecc(n, device, ECC_UNCORRECTED);
}

/* --- events --- */

bool zh_nvml_watch_xid(zh_nvml *n, zh_nvml_device device) {
  if (!n->make_events || !n->watch || !n->next) return false;
  if (!n->events && n->make_events(&n->events) != SUCCESS) n->events = NULL;
  return n->events && n->watch(device, EVENT_XID, n->events) == SUCCESS;
}

bool zh_nvml_next_xid(zh_nvml *n, zh_nvml_device *device, uint64_t *xid) {
  event_data event = {0};
  if (!n->events || n->next(n->events, &event, 0) != SUCCESS) return false;
  if (!(event.type & EVENT_XID)) return false;
  *device = event.device;
  *xid = event.data;
  return true;
}
