/* Files: mapped for reading, written whole, folders staged and renamed. */
#ifndef ZH_CORE_FILES_H
#define ZH_CORE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which file, in which state: the system moves changed_ns with every write to the file, and nobody
 * can set it back. */
typedef struct zh_file_identity {
  uint64_t device, inode, bytes;
  int64_t modified_ns, changed_ns;
} zh_file_identity;

/* A read-only private mapping of a regular file. Empty files give data NULL, bytes 0. */
typedef struct zh_mapping {
  const unsigned char *data;
  size_t bytes;
  zh_file_identity identity; /* when it was mapped */
} zh_mapping;
/* Whether the path still names the very file that was mapped, and nothing was written to it since:
 * ZH_ERR_CHECK says which of the two does not hold. */
ZH_MUST_CHECK zh_status zh_mapping_unchanged(const zh_mapping *mapping, const char *path,
                                             zh_error *err);
/* Folders, FIFOs, devices and unreadable files are ZH_ERR_INPUT with a sentence; never blocks on a
 * FIFO. */
ZH_MUST_CHECK zh_status zh_map_file(zh_mapping *out, const char *path, zh_error *err);
void zh_unmap(zh_mapping *mapping);
/* Touching a mapping whose file became shorter, or whose disk fails, raises SIGBUS. From now on
 * that ends the program with this sentence on stderr and the exit status of ZH_ERR_IO. `sentence`
 * must outlive the program's use of mappings; for main() alone. */
void zh_end_on_lost_mapping(const char *sentence);

/* Whole text file of at most max_bytes, NUL-terminated; the caller frees. */
ZH_MUST_CHECK zh_status zh_read_file(char **out, size_t *length, const char *path, size_t max_bytes,
                                     zh_error *err);

/* Temporary name beside path, write, fsync, rename, fsync of the folder. Nothing is left behind on
 * failure. */
ZH_MUST_CHECK zh_status zh_write_file(const char *path, const void *bytes, size_t length,
                                      zh_error *err);
/* The same for what does not fit in memory: pieces in order, then commit. Until then the file at
 * `path` is as it was. */
typedef struct zh_writer zh_writer;
ZH_MUST_CHECK zh_status zh_writer_open(zh_writer **out, const char *path, zh_error *err);
ZH_MUST_CHECK zh_status zh_writer_put(zh_writer *writer, const void *bytes, size_t length,
                                      zh_error *err);
/* Where it stands until then, so that it can be read before it replaces anything. Borrowed. */
const char *zh_writer_temporary(const zh_writer *writer);
/* fsync, rename; the writer is gone whatever comes back. */
ZH_MUST_CHECK zh_status zh_writer_commit(zh_writer *writer, zh_error *err);
void zh_writer_abandon(zh_writer *writer); /* removes what was written; NULL is safe */

/* Appends one line (adds '\n') to a journal with a single write, then fsync. Creates the file if
 * missing. */
ZH_MUST_CHECK zh_status zh_append_line(const char *path, const char *line, zh_error *err);

ZH_MUST_CHECK zh_status zh_make_dirs(const char *path, zh_error *err); /* mkdir -p */
/* Does not follow links; absent is ok. */
ZH_MUST_CHECK zh_status zh_remove_tree(const char *path, zh_error *err);
bool zh_is_file(const char *path);
bool zh_is_dir(const char *path);
uint64_t zh_file_bytes(const char *path); /* 0 when absent */

/* Relative paths ('/'-separated, sorted bytewise) of all regular files below dir. Refuses symbolic
 * links and special files. The list and its strings are one allocation each; zh_file_list_free
 * releases both. */
typedef struct zh_file_list {
  char **paths;
  size_t count;
} zh_file_list;
ZH_MUST_CHECK zh_status zh_list_files(zh_file_list *out, const char *dir, zh_error *err);
void zh_file_list_free(zh_file_list *list);

/* Folder with the product's data (suites, policies, templates, model classes): $ZHIHENG_DATA, else
 * <prefix>/share/zhiheng beside an installed program, else the source tree of a build. Joins
 * `relative`. */
ZH_MUST_CHECK zh_status zh_data_path(char *out, size_t capacity, const char *relative,
                                     zh_error *err);
/* Folder of the run-time modules: $ZHIHENG_MODULES, else ../lib/zhiheng beside the program. */
ZH_MUST_CHECK zh_status zh_module_path(char *out, size_t capacity, const char *file, zh_error *err);
/* Absolute path of a sibling program ("zhiheng-rank" beside this one). */
ZH_MUST_CHECK zh_status zh_program_path(char *out, size_t capacity, const char *name,
                                        zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
