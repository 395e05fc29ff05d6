/* This node, as doctor shows it and as every bundle records it. What cannot be found is null, never
 * a guess. */
#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <yaml.h>

#include "bench/bench.h"
#include "bench/nvml.h"
#include "bench/placement.h"
#include "core/files.h"
#include "kernels/kernels.h"

enum { FALLBACK_CACHE_BYTES = 32 << 20 };

static zh_status load_topology(hwloc_topology_t *out, zh_error *err) {
  if (hwloc_topology_init(out) != 0) {
    return zh_fail(err, ZH_ERR_MEMORY, "hwloc found no memory for the topology of this machine");
  }
  if (hwloc_topology_load(*out) != 0) {
    hwloc_topology_destroy(*out);
    return zh_fail(err, ZH_ERR_LACKING,
                   "hwloc cannot read the topology of this machine; check that /sys is mounted");
  }
  return ZH_OK;
}

/* --- small text files of /proc and /sys --- */

/* First line of a file into out, without its end; false when absent. */
static bool first_line(char *out, size_t capacity, const char *path) {
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  bool read = fgets(out, (int)capacity, file) != NULL;
  fclose(file);
  if (read) out[strcspn(out, "\n")] = '\0';
  return read;
}

/* Value of a "key : value" or "key=value" line; false when there is none. */
static bool keyed_line(char *out, size_t capacity, const char *path, const char *key,
                       char separator) {
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  char line[1024];
  size_t key_length = strlen(key);
  bool found = false;
  while (!found && fgets(line, sizeof line, file) != NULL) {
    char *value = strchr(line, separator);
    if (strncmp(line, key, key_length) != 0 || value == NULL) continue;
    if (line + key_length + strspn(line + key_length, " \t") != value) continue;
    value += 1 + strspn(value + 1, " \t\"");
    value[strcspn(value, "\"\n")] = '\0';
    snprintf(out, capacity, "%s", value);
    found = true;
  }
  fclose(file);
  return found;
}

static json_t *text_or_null(bool found, const char *text) {
  json_t *value = found ? json_string(text) : NULL; /* NULL also where it is not UTF-8 */
  return value != NULL ? value : json_null();
}

static json_t *count_or_null(bool found, const char *text) {
  char *end = NULL;
  long long value = found ? strtoll(text, &end, 10) : -1;
  return found && end != text && value >= 0 ? json_integer(value) : json_null();
}

static json_t *file_count(const char *path) {
  char line[64];
  bool found = first_line(line, sizeof line, path);
  return count_or_null(found, line);
}

/* --- processor and caches --- */

static json_t *describe_features(void) {
  zh_cpu_features has = zh_cpu_detect();
  return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "avx2_fma", has.avx2_fma, "f16c",
                   has.f16c, "avx_vnni", has.avx_vnni, "avx512", has.avx512, "avx512_vnni",
                   has.avx512_vnni, "avx512_bf16", has.avx512_bf16, "amx_bf16", has.amx_bf16,
                   "amx_int8", has.amx_int8);
}

static int count_of(hwloc_topology_t topology, hwloc_obj_type_t type) {
  int count = hwloc_get_nbobjs_by_type(topology, type);
  return count > 0 ? count : 0;
}

/* A hypervisor shows itself among the processor's flags. */
static bool is_virtual(void) {
  FILE *file = fopen("/proc/cpuinfo", "re");
  char *line = NULL;
  size_t capacity = 0;
  bool found = false;
  while (file != NULL && !found && getline(&line, &capacity, file) > 0) {
    found = strncmp(line, "flags", 5) == 0 && strstr(line, " hypervisor") != NULL;
  }
  free(line);
  if (file != NULL) fclose(file);
  return found;
}

static json_t *describe_cpu(hwloc_topology_t topology) {
  char model[256], governor[64], khz[64];
  bool has_model = keyed_line(model, sizeof model, "/proc/cpuinfo", "model name", ':');
  bool has_governor = first_line(governor, sizeof governor,
                                 "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  bool has_khz =
      first_line(khz, sizeof khz, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
  bool virtual = is_virtual();
  int allowed[1024];
  return json_pack(
      "{s:o, s:i, s:i, s:i, s:i, s:b, s:o, s:o, s:o, s:s}", "model", text_or_null(has_model, model),
      "packages", count_of(topology, HWLOC_OBJ_PACKAGE), "cores",
      count_of(topology, HWLOC_OBJ_CORE), "threads", count_of(topology, HWLOC_OBJ_PU),
      "allowed_threads", zh_machine_allowed_cpus(allowed, 1024), "virtual", virtual, "governor",
      text_or_null(has_governor, governor), "max_khz", count_or_null(has_khz, khz), "features",
      describe_features(), "kernels", zh_kernels_best()->name);
}

static const char *cache_kind(const hwloc_obj_t cache) {
  switch (cache->attr->cache.type) {
  case HWLOC_OBJ_CACHE_DATA:
    return "data";
  case HWLOC_OBJ_CACHE_INSTRUCTION:
    return "instruction";
  default:
    return "unified";
  }
}

static json_t *describe_caches(hwloc_topology_t topology) {
  static const hwloc_obj_type_t types[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE,
                                           HWLOC_OBJ_L4CACHE};
  json_t *caches = json_array();
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
    hwloc_obj_t first = hwloc_get_obj_by_type(topology, types[i], 0);
    if (first == NULL) continue;
    json_array_append_new(
        caches, json_pack("{s:i, s:s, s:I, s:i, s:i}", "level", (int)first->attr->cache.depth,
                          "kind", cache_kind(first), "bytes", (json_int_t)first->attr->cache.size,
                          "count", count_of(topology, types[i]), "threads_sharing",
                          hwloc_bitmap_weight(first->cpuset)));
  }
  return caches;
}

static json_t *describe_numa(hwloc_topology_t topology) {
  json_t *nodes = json_array();
  hwloc_obj_t node = NULL;
  while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != NULL) {
    char cpus[512] = "";
    if (node->cpuset != NULL) hwloc_bitmap_list_snprintf(cpus, sizeof cpus, node->cpuset);
    json_array_append_new(nodes,
                          json_pack("{s:i, s:I, s:s}", "node", (int)node->os_index, "bytes",
                                    (json_int_t)node->attr->numanode.local_memory, "cpus", cpus));
  }
  return nodes;
}

/* --- memory --- */

static json_t *meminfo_bytes(const char *key) {
  char text[64], *end;
  if (!keyed_line(text, sizeof text, "/proc/meminfo", key, ':')) return json_null();
  long long kib = strtoll(text, &end, 10);
  return end != text && kib >= 0 ? json_integer(kib * 1024) : json_null();
}

/* A file of this process's control group (version 2), as a container's limits are set; null where
 * there is none. */
static bool control_group_line(char *out, size_t capacity, const char *file) {
  char group[512], path[1024];
  if (!first_line(group, sizeof group, "/proc/self/cgroup")) return false;
  if (strncmp(group, "0::", 3) != 0) return false;
  snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group + 3, file);
  return first_line(out, capacity, path);
}

static json_t *describe_limits(void) {
  char line[128];
  bool found = control_group_line(line, sizeof line, "memory.max");
  json_t *memory = count_or_null(found, line);
  double quota = 0, period = 0;
  found = control_group_line(line, sizeof line, "cpu.max");
  bool limited = found && sscanf(line, "%lf %lf", &quota, &period) == 2 && period > 0;
  return json_pack("{s:o, s:o}", "memory_bytes", memory, "cpus",
                   limited ? zh_json_number(quota / period) : json_null());
}

static json_t *describe_memory(void) {
  return json_pack("{s:o, s:o, s:o}", "bytes", meminfo_bytes("MemTotal"), "available_bytes",
                   meminfo_bytes("MemAvailable"), "swap_bytes", meminfo_bytes("SwapTotal"));
}

static json_t *describe_huge_pages(void) {
  char line[128], word[32] = "";
  bool found = first_line(line, sizeof line, "/sys/kernel/mm/transparent_hugepage/enabled");
  char *chosen = found ? strchr(line, '[') : NULL; /* "always [madvise] never" */
  found = chosen != NULL && sscanf(chosen, "[%31[a-z]]", word) == 1;
  return json_pack("{s:o, s:o, s:o, s:o}", "transparent", text_or_null(found, word), "size_bytes",
                   meminfo_bytes("Hugepagesize"), "reserved",
                   file_count("/proc/sys/vm/nr_hugepages"), "free",
                   file_count("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"));
}

/* --- GPUs, as the driver shows them --- */

static json_t *count_of_processes(const zh_nvml *nvml, zh_nvml_device device) {
  int count = zh_nvml_processes(nvml, device);
  return count < 0 ? json_null() : json_integer(count);
}

static void add_gpus(json_t *gpus, const zh_nvml *nvml) {
  unsigned count = zh_nvml_count(nvml);
  for (unsigned i = 0; i < count; i++) {
    zh_nvml_device device = NULL;
    char name[128];
    if (!zh_nvml_at(&device, nvml, i)) continue;
    zh_nvml_name(name, sizeof name, nvml, device);
    json_array_append_new(gpus, json_pack("{s:i, s:s, s:I, s:s, s:b, s:o}", "index", (int)i, "name",
                                          name, "memory_bytes",
                                          (json_int_t)zh_nvml_memory_bytes(nvml, device), "driver",
                                          zh_nvml_driver(nvml), "mig", zh_nvml_is_cut(nvml, device),
                                          "processes", count_of_processes(nvml, device)));
  }
}

/* Fills the list and says in words why it is empty. */
static void find_gpus(json_t *gpus, char *note, size_t capacity) {
  zh_error why = ZH_ERROR_INIT;
  zh_nvml *nvml = NULL;
  note[0] = '\0';
  if (zh_nvml_open(&nvml, &why) != ZH_OK) {
    snprintf(note, capacity, "%s", why.message);
    return;
  }
  add_gpus(gpus, nvml);
  zh_nvml_close(nvml);
  if (json_array_size(gpus) == 0)
    snprintf(note, capacity, "the NVIDIA driver answers, but shows no GPU");
}

/* --- MPI and libraries --- */

static json_t *launcher_version(const char *command) {
  FILE *pipe = popen(command, "re");
  char line[256];
  if (pipe == NULL) return json_null();
  bool read = fgets(line, sizeof line, pipe) != NULL;
  while (fgetc(pipe) != EOF) continue;
  bool done = pclose(pipe) == 0;
  line[strcspn(line, "\n")] = '\0';
  return text_or_null(read && done, line);
}

static json_t *describe_mpi(void) {
  char module[4096];
  bool found = zh_module_path(module, sizeof module, "libzhiheng-mpi.so", NULL) == ZH_OK &&
               zh_is_file(module);
  return json_pack("{s:b, s:o, s:o}", "module", found, "mpirun",
                   launcher_version("mpirun --version 2>/dev/null"), "srun",
                   launcher_version("srun --version 2>/dev/null"));
}

static json_t *describe_libraries(void) {
  char hwloc[32];
  unsigned version = hwloc_get_api_version();
  snprintf(hwloc, sizeof hwloc, "%u.%u.%u", version >> 16, (version >> 8) & 255, version & 255);
  return json_pack("{s:s, s:s, s:s, s:s}", "hwloc", hwloc, "jansson", jansson_version_str(),
                   "libyaml", yaml_get_version_string(), "openssl",
                   OpenSSL_version(OPENSSL_VERSION_STRING));
}

static json_t *describe_system(void) {
  struct utsname name = {0};
  char release[256];
  uname(&name);
  bool found = keyed_line(release, sizeof release, "/etc/os-release", "PRETTY_NAME", '=');
  return json_pack("{s:s, s:s, s:s, s:o}", "kernel", name.sysname, "release", name.release,
                   "architecture", name.machine, "distribution", text_or_null(found, release));
}

zh_status zh_machine_describe(json_t **out, zh_error *err) {
  hwloc_topology_t topology;
  ZH_TRY(load_topology(&topology, err));
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  json_t *gpus = json_array();
  char gpu_note[sizeof((zh_error *)0)->message];
  find_gpus(gpus, gpu_note, sizeof gpu_note);
  *out = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "schema",
                   "zhiheng.environment/1", "hostname", host, "system", describe_system(), "cpu",
                   describe_cpu(topology), "caches", describe_caches(topology), "numa",
                   describe_numa(topology), "memory", describe_memory(), "limits",
                   describe_limits(), "huge_pages", describe_huge_pages(), "gpus", gpus, "gpu_note",
                   gpu_note, "mpi", describe_mpi(), "libraries", describe_libraries());
  hwloc_topology_destroy(topology);
  return *out != NULL
             ? ZH_OK
             : zh_fail(err, ZH_ERR_MEMORY, "out of memory for the description of this machine");
}

zh_status zh_machine_hwloc_xml(char **out, zh_error *err) {
  hwloc_topology_t topology;
  char *xml = NULL;
  int length = 0;
  *out = NULL;
  ZH_TRY(load_topology(&topology, err));
  zh_status status = ZH_OK;
  if (hwloc_topology_export_xmlbuffer(topology, &xml, &length, 0) != 0) {
    status = zh_fail(err, ZH_ERR_LACKING, "hwloc cannot write this machine's topology as XML");
  } else if ((*out = strdup(xml)) == NULL) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory for this machine's topology");
  }
  if (xml != NULL) hwloc_free_xmlbuffer(topology, xml);
  hwloc_topology_destroy(topology);
  return status;
}

uint64_t zh_machine_last_level_cache_bytes(void) {
  static const hwloc_obj_type_t largest_first[] = {HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L3CACHE,
                                                   HWLOC_OBJ_L2CACHE};
  hwloc_topology_t topology;
  uint64_t bytes = 0;
  if (load_topology(&topology, NULL) != ZH_OK) return FALLBACK_CACHE_BYTES;
  for (size_t i = 0; bytes == 0 && i < sizeof largest_first / sizeof largest_first[0]; i++) {
    hwloc_obj_t cache = NULL;
    while ((cache = hwloc_get_next_obj_by_type(topology, largest_first[i], cache)) != NULL) {
      bytes += cache->attr->cache.size;
    }
  }
  hwloc_topology_destroy(topology);
  return bytes > 0 ? bytes : FALLBACK_CACHE_BYTES;
}

int zh_machine_allowed_cpus(int *out, int capacity) {
  cpu_set_t allowed;
  zh_placement all;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
  if (zh_place_here(&all, CPU_COUNT(&allowed), NULL) != ZH_OK) return 0;
  int count = all.count < capacity ? all.count : capacity;
  memcpy(out, all.cpu, (size_t)count * sizeof *out);
  return count;
}

int zh_machine_allowed_cores(void) {
  zh_placement cores;
  return zh_place_here(&cores, 0, NULL) == ZH_OK ? cores.count : 0;
}
