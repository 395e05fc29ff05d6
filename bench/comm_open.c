/* Finds and opens the MPI module at run time, so that a node without MPI runs one rank with the
 * same program. */
#include <dlfcn.h>

#include "bench/comm.h"
#include "core/files.h"

static const char MODULE[] = "libzhiheng-mpi.so";

zh_status zh_comm_open_mpi(zh_comm **out, zh_error *err) {
  char path[4096];
  ZH_TRY(zh_module_path(path, sizeof path, MODULE, err));
  /* Global: Open MPI's own plug-ins look up libmpi's symbols. Never closed: MPI leaves threads
   * behind. */
  void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (!module)
    return zh_fail(err, ZH_ERR_LACKING,
                   "more than one rank needs MPI, but its module could not be opened (%s); install "
                   "Open MPI's runtime (Debian: openmpi-bin)",
                   dlerror());
  zh_status (*join)(zh_comm **, zh_error *) = NULL;
  *(void **)&join = dlsym(module, "zh_comm_mpi_join");
  if (!join) return zh_fail(err, ZH_ERR_LACKING, "%s is not a module of this program", path);
  ZH_TRY(join(out, err));
  if ((*out)->abi != ZH_COMM_ABI)
    return zh_fail(err, ZH_ERR_LACKING, "%s was built for another version (%u, wanted %d)", path,
                   (*out)->abi, ZH_COMM_ABI);
  return ZH_OK;
}
