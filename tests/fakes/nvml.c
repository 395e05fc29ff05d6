/* A management library that plays a script: tests name it by ZH_NVML. ZH_FAKE_NVML is a list of
 * words, `key` or `key=value`, separated by spaces:
 *
 *   gpus=2            how many there are (1)
 *   power=350         watts of each (300); power=ramp: one more with each reading
 *   reasons=0x24      what slows the clocks, from the beginning (0)
 *   throttle_from=3   the reasons hold from the third reading on only
 *   corrected=4, uncorrected=1   ECC errors that come with the second reading
 *   xid=79            an event that comes once
 *   temperature=71
 *   mig               the GPU is cut into slices
 *   busy              a process computes on it
 *   lacks=NAME        nvml<NAME> fails as unsupported (3); several, by commas
 *   init=9            nvmlInit_v2 fails with this status
 *   instant           has the field of instantaneous power (power + 1)
 *
 * -DWITHOUT_... leaves symbols out. GPU i is at 0000:0<i>:00.0, as the shim's is for i = 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* they are found by name */
#define API __attribute__((visibility("default")))
enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, SMALL = 7, TIMEOUT = 10 };

static const char *script(void) {
  const char *text = getenv("ZH_FAKE_NVML");
  return text ? text : "";
}

/* The value after "key=", "" of a bare key, NULL where it is not among the words. */
static const char *word(const char *key) {
  size_t length = strlen(key);
  for (const char *at = script(); (at = strstr(at, key)); at += length) {
    if (at != script() && at[-1] != ' ') continue;
    if (at[length] == '=') return at + length + 1;
    if (at[length] == '\0' || at[length] == ' ') return "";
  }
  return NULL;
}

static unsigned long long number(const char *key, unsigned long long otherwise) {
  const char *text = word(key);
  return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static int lacks(const char *name) {
  const char *list = word("lacks");
  const char *at = list ? strstr(list, name) : NULL;
  if (!at || strcspn(list, " ") < (size_t)(at - list)) return 0;
  char end = at[strlen(name)];
  return end == ',' || end == ' ' || end == '\0';
}

static unsigned count(void) {
  return (unsigned)number("gpus", 1);
}

/* Handles are addresses of numbers. */
static unsigned numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static unsigned long long readings[16] __attribute__((unused));

API int nvmlInit_v2(void) {
  return (int)number("init", OK);
}
API int nvmlShutdown(void) {
  return OK;
}
API int nvmlDeviceGetCount_v2(unsigned *out) {
  *out = count();
  return OK;
}
#ifndef WITHOUT_HANDLES
API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out) {
  if (index >= count()) return INVALID;
  *out = &numbers[index];
  return OK;
}
#endif
API int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **out) {
  unsigned index = 0;
  if (lacks("DeviceGetHandleByPciBusId_v2")) return UNSUPPORTED;
  if (sscanf(bus, "0000:%x:00.0", &index) != 1 || index >= count()) return NOT_FOUND;
  *out = &numbers[index];
  return OK;
}
API int nvmlDeviceGetIndex(void *device, unsigned *out) {
  *out = *(unsigned *)device;
  return OK;
}
API int nvmlSystemGetDriverVersion(char *out, unsigned capacity) {
  snprintf(out, capacity, "580.65.06");
  return OK;
}
API int nvmlDeviceGetName(void *device, char *out, unsigned capacity) {
  snprintf(out, capacity, "Fake GPU %u", *(unsigned *)device);
  return OK;
}
API int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *out) {
  (void)device;
  out[0] = 80ull << 30;
  out[1] = 79ull << 30;
  out[2] = 1ull << 30;
  return OK;
}
API int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *later) {
  (void)device;
  *now = *later = word("mig") != NULL;
  return OK;
}
API int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *out, void *list) {
  unsigned room = *out;
  (void)device, (void)list;
  *out = word("busy") != NULL;
  return *out > room ? SMALL : OK;
}

#ifndef WITHOUT_SENSORS
/* The first thing that is asked for in each reading. */
API int nvmlDeviceGetClockInfo(void *device, int which, unsigned *out) {
  if (which == 1) readings[*(unsigned *)device]++;
  if (lacks("DeviceGetClockInfo")) return UNSUPPORTED;
  *out = which == 1 ? 1980 : 3201;
  return OK;
}
API int nvmlDeviceGetPowerUsage(void *device, unsigned *out) {
  if (lacks("DeviceGetPowerUsage")) return UNSUPPORTED;
  const char *power = word("power");
  if (power && strncmp(power, "ramp", 4) == 0)
    *out = (unsigned)(1000 * readings[*(unsigned *)device]);
  else
    *out = (unsigned)(1000 * number("power", 300));
  return OK;
}
typedef struct field {
  unsigned id, scope;
  long long timestamp, latency;
  int type, status;
  union {
    double real;
    unsigned whole;
  } value;
} field;
API int nvmlDeviceGetFieldValues(void *device, int fields, field *list) {
  (void)device;
  for (int i = 0; i < fields; i++) {
    list[i].status = word("instant") && list[i].id == 186 ? OK : UNSUPPORTED;
    list[i].type = 1;
    list[i].value.whole = (unsigned)(1000 * number("power", 300) + 1000);
  }
  return OK;
}
API int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out) {
  (void)device, (void)sensor;
  if (lacks("DeviceGetTemperature")) return UNSUPPORTED;
  *out = (unsigned)number("temperature", 60);
  return OK;
}
API int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out) {
  if (lacks("DeviceGetCurrentClocksThrottleReasons")) return UNSUPPORTED;
  *out = readings[*(unsigned *)device] >= number("throttle_from", 0) ? number("reasons", 0) : 0;
  return OK;
}
API int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *out) {
  if (lacks("DeviceGetTotalEnergyConsumption")) return UNSUPPORTED;
  *out = 5000 * readings[*(unsigned *)device];
  return OK;
}
API int nvmlDeviceGetTotalEccErrors(void *device, int kind, int since, unsigned long long *out) {
  (void)since;
  if (lacks("DeviceGetTotalEccErrors")) return UNSUPPORTED;
  *out = 7; /* before the run began */
  if (readings[*(unsigned *)device] >= 2)
    *out += kind == 0 ? number("corrected", 0) : number("uncorrected", 0);
  return OK;
}

typedef struct event {
  void *device;
  unsigned long long type, data;
  unsigned gpu_instance, compute_instance;
} event;
static void *watched;
API int nvmlEventSetCreate(void **out) {
  static int set;
  *out = &set;
  return OK;
}
API int nvmlEventSetFree(void *set) {
  (void)set;
  return OK;
}
API int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set) {
  (void)set;
  if (lacks("DeviceRegisterEvents") || types != 8) return UNSUPPORTED;
  watched = device;
  return OK;
}
API int nvmlEventSetWait_v2(void *set, event *out, unsigned ms) {
  static int told;
  (void)set, (void)ms;
  if (!word("xid") || !watched || told) return TIMEOUT;
  told = 1;
  *out = (event){watched, 8, number("xid", 0), 0, 0};
  return OK;
}
#endif
