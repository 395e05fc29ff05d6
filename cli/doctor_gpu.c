#include "cli/doctor_gpu.h"

#include <stdio.h>
#include <string.h>

#include "bench/nvml.h"
#include "kernels/device_group.h"
#include "kernels/device_limits.h"

static const char *string_of(const json_t *object, const char *key, const char *otherwise) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL && text[0] != '\0' ? text : otherwise;
}

/* --- what is there --- */

static void add_note(json_t *notes, const char *note) {
  json_array_append_new(notes, json_string(note));
}

/* Other processes on the GPU, as the driver counts them before we are one of them. */
static void note_processes(json_t *notes, const zh_nvml *nvml, const zh_device_facts *facts) {
  zh_nvml_device device;
  char note[160];
  int count =
      nvml && zh_nvml_on_bus(&device, nvml, facts->bus) ? zh_nvml_processes(nvml, device) : -1;
  if (count <= 0) return;
  snprintf(note, sizeof note,
           "it is busy: %d process%s %s on it, and would disturb what is measured", count,
           count == 1 ? "" : "es", count == 1 ? "computes" : "compute");
  add_note(notes, note);
}

static json_t *words_of(const char *const *words) {
  json_t *list = json_array();
  for (; *words; words++) json_array_append_new(list, json_string(*words));
  return list;
}

static json_t *describe_device(const zh_device_api *api, const zh_nvml *nvml, int index) {
  zh_device_facts facts = {0};
  zh_device *device = NULL;
  zh_error err = ZH_ERROR_INIT;
  json_t *notes = json_array(), *products = NULL;
  char capability[16];
  bool known = api->facts(&facts, index, &err) == ZH_OK;
  if (known) note_processes(notes, nvml, &facts);
  if (facts.mig)
    add_note(notes, "it is a MIG slice: its limits are those of the slice, power and heat those of "
                    "the whole GPU");
  bool usable = known && api->open(&device, index, &err) == ZH_OK;
  if (usable) {
    products = words_of(api->product_variants(device));
    api->close(device);
  }
  if (!usable) add_note(notes, err.message);
  snprintf(capability, sizeof capability, "%d.%d", facts.major, facts.minor);
  return json_pack("{s:i,s:s,s:s,s:s,s:s,s:I,s:I,s:s,s:s,s:b,s:b,s:b,s:o,s:o*}", "index", index,
                   "name", facts.name, "uuid", facts.uuid, "bus", facts.bus, "capability",
                   capability, "memory_bytes", (json_int_t)facts.memory_bytes, "l2_bytes",
                   (json_int_t)facts.l2_bytes, "driver", facts.driver, "runtime", facts.runtime,
                   "ecc", facts.ecc, "mig", facts.mig, "usable", usable, "notes", notes, "products",
                   products);
}

static json_t *vendor_library(const zh_device_api *api) {
  char text[64];
  bool found = api && api->limits && api->limits->gemm_library(text, sizeof text, NULL) == ZH_OK;
  return found ? json_string(text) : json_null();
}

static json_t *collectives_library(const zh_device_api *api) {
  char text[64];
  bool found =
      api && api->groups && api->groups->library(text, sizeof text, ZH_GROUP_NCCL, NULL) == ZH_OK;
  return found ? json_string(text) : json_null();
}

json_t *zh_doctor_gpus(void) {
  const zh_device_api *api = NULL;
  zh_nvml *nvml = NULL;
  zh_error err = ZH_ERROR_INIT;
  json_t *devices = json_array(), *module = json_null();
  int count = 0;
  zh_status status = zh_device_open_module(&api, &err);
  if (status == ZH_OK) {
    module = json_pack("{s:s,s:s}", "backend", api->backend, "build", api->build);
    status = api->count(&count, &err);
  }
  if (status == ZH_OK && zh_nvml_open(&nvml, NULL) != ZH_OK) nvml = NULL;
  for (int i = 0; status == ZH_OK && i < count; i++)
    json_array_append_new(devices, describe_device(api, nvml, i));
  zh_nvml_close(nvml);
  return json_pack("{s:o,s:s,s:o,s:o,s:o}", "module", module, "note", err.message, "devices",
                   devices, "cublaslt", vendor_library(api), "nccl", collectives_library(api));
}

/* --- what will be left out --- */

static const char ALL[] = "every measurement on a GPU";

static void leave_out_device(json_t *list, const json_t *device) {
  char what[320], why[1024] = "";
  size_t i, length = 0;
  json_t *note;
  if (json_is_true(json_object_get(device, "usable"))) return;
  snprintf(what, sizeof what, "GPU %lld (%s)",
           (long long)json_integer_value(json_object_get(device, "index")),
           string_of(device, "name", "unnamed"));
  json_array_foreach(json_object_get(device, "notes"), i, note) {
    if (length < sizeof why)
      length += (size_t)snprintf(why + length, sizeof why - length, "%s%s", i ? "; " : "",
                                 json_string_value(note));
  }
  zh_doctor_leave_out(list, what, why,
                      "free it, or take a module that was built for its architecture");
}

void zh_doctor_leave_out_gpus(json_t *list, const json_t *machine, const json_t *accelerators) {
  bool shown = json_array_size(json_object_get(machine, "gpus")) > 0;
  const json_t *devices = json_object_get(accelerators, "devices");
  const char *note = string_of(accelerators, "note", "there is none");
  size_t i;
  json_t *device;
  if (json_is_null(json_object_get(accelerators, "module"))) {
    zh_doctor_leave_out(list, ALL, shown ? note : string_of(machine, "gpu_note", note),
                        shown ? "take a release, or build with ZH_CUDA=ON; ZHIHENG_MODULES names "
                                "the folder of libzhiheng-cuda.so"
                              : "take a node with an NVIDIA GPU and its driver; processors are "
                                "measured without");
    return;
  }
  if (json_array_size(devices) == 0) {
    zh_doctor_leave_out(
        list, ALL, note,
        "install the NVIDIA driver or a newer one, and let this process see the GPU");
    return;
  }
  json_array_foreach(devices, i, device) {
    leave_out_device(list, device);
  }
  if (json_is_null(json_object_get(accelerators, "cublaslt")))
    zh_doctor_leave_out(list, "matrix products by the vendor's library (gpu-gemm)",
                        "cuBLASLt is not found",
                        "install libcublas of CUDA 12 or 13, or name its libcublasLt.so by "
                        "ZH_CUBLASLT: Python's wheels have one, too");
  if (json_array_size(devices) > 1 && json_is_null(json_object_get(accelerators, "nccl")))
    zh_doctor_leave_out(list, "sums and copies between GPUs by NCCL (gpu-collective)",
                        "NCCL is not found",
                        "install libnccl2, or name its libnccl.so.2 by ZH_NCCL: Python's wheels "
                        "have one, too");
}

/* --- for people --- */

static void print_device(const json_t *device) {
  size_t i;
  json_t *note, *product;
  printf("  device %lld   %s at %s, sm_%s, driver for CUDA %s\n",
         (long long)json_integer_value(json_object_get(device, "index")),
         string_of(device, "name", "unnamed"), string_of(device, "bus", "?"),
         string_of(device, "capability", "?"), string_of(device, "driver", "unknown"));
  json_array_foreach(json_object_get(device, "notes"), i, note) {
    printf("             %s\n", json_string_value(note));
  }
  json_array_foreach(json_object_get(device, "products"), i, product) {
    printf("%s %s", i ? "" : "             products of many tokens by", json_string_value(product));
  }
  if (i) printf("\n");
}

void zh_doctor_print_gpus(const json_t *accelerators) {
  const json_t *module = json_object_get(accelerators, "module");
  size_t i;
  json_t *device;
  if (json_is_null(module)) {
    printf("GPU module   absent: %s\n", string_of(accelerators, "note", "reason unknown"));
    return;
  }
  printf("GPU module   %s (%s); cuBLASLt: %s; NCCL: %s\n", string_of(module, "backend", "?"),
         string_of(module, "build", "?"), string_of(accelerators, "cublaslt", "absent"),
         string_of(accelerators, "nccl", "absent"));
  json_array_foreach(json_object_get(accelerators, "devices"), i, device) {
    print_device(device);
  }
  if (i == 0) printf("             %s\n", string_of(accelerators, "note", "no device"));
}
