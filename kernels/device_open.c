/* Finds and opens the module of the accelerators at run time, so that a machine without one runs
 * the same programs. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/files.h"
#include "kernels/device.h"

static const char MODULE[] = "libzhiheng-cuda.so";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const zh_device_api *opened;
static zh_status opened_status;
static zh_error opened_error = ZH_ERROR_INIT;

static zh_status open_file(const zh_device_api **out, const char *path, zh_error *err) {
  void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!module)
    return zh_fail(err, ZH_ERR_LACKING,
                   "no accelerator is used: its module could not be opened (%s); it is built where "
                   "the CUDA toolkit is",
                   dlerror());
  const zh_device_api *(*table)(void) = NULL;
  *(void **)&table = dlsym(module, "zh_device_module");
  if (!table) return zh_fail(err, ZH_ERR_LACKING, "%s is not a module of this program", path);
  const zh_device_api *api = table();
  if (api->abi != ZH_DEVICE_ABI)
    return zh_fail(err, ZH_ERR_LACKING, "%s was built for another version (%u, wanted %d)", path,
                   api->abi, ZH_DEVICE_ABI);
  *out = api;
  return ZH_OK;
}

static zh_status open_module(const zh_device_api **out, zh_error *err) {
  char path[4096];
  const char *asked = getenv("ZH_DEVICE_MODULE");
  if (asked && *asked) return open_file(out, asked, err);
  ZH_TRY(zh_module_path(path, sizeof path, MODULE, err));
  return open_file(out, path, err);
}

static void open_once(void) {
  opened_status = open_module(&opened, &opened_error);
}

zh_status zh_device_open_module(const zh_device_api **out, zh_error *err) {
  pthread_once(&once, open_once);
  if (opened_status != ZH_OK) return zh_fail(err, opened_status, "%s", opened_error.message);
  *out = opened;
  return ZH_OK;
}
