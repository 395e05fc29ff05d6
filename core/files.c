#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"

static const char *kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISLNK(mode)) return "a symbolic link";
  return S_ISSOCK(mode) ? "a socket" : "no regular file";
}

static zh_file_identity identity_of(const struct stat *info) {
  return (zh_file_identity){
      .device = (uint64_t)info->st_dev,
      .inode = (uint64_t)info->st_ino,
      .bytes = (uint64_t)info->st_size,
      .modified_ns = (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec,
      .changed_ns = (int64_t)info->st_ctim.tv_sec * 1000000000 + info->st_ctim.tv_nsec};
}

/* O_NONBLOCK: opening a pipe that nobody writes to would wait for ever. */
static zh_status open_regular(int *out, size_t *bytes, zh_file_identity *identity, const char *path,
                              zh_error *err) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return zh_fail(err, ZH_ERR_INPUT, "%s: cannot be read: %s", path, strerror(errno));
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return zh_fail(err, ZH_ERR_INPUT, "%s: is %s; a file was expected", path,
                   kind_of(info.st_mode));
  }
  *out = fd;
  *bytes = (size_t)info.st_size;
  if (identity) *identity = identity_of(&info);
  return ZH_OK;
}

zh_status zh_map_file(zh_mapping *out, const char *path, zh_error *err) {
  int fd;
  *out = (zh_mapping){0};
  ZH_TRY(open_regular(&fd, &out->bytes, &out->identity, path, err));
  if (out->bytes > 0) {
    void *data = mmap(NULL, out->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      int reason = errno;
      close(fd);
      *out = (zh_mapping){0};
      return zh_fail(err, ZH_ERR_IO, "%s: cannot be mapped: %s", path, strerror(reason));
    }
    out->data = data;
  }
  close(fd);
  return ZH_OK;
}

zh_status zh_mapping_unchanged(const zh_mapping *mapping, const char *path, zh_error *err) {
  struct stat info;
  const zh_file_identity *was = &mapping->identity;
  if (stat(path, &info) != 0)
    return zh_fail(err, ZH_ERR_CHECK, "%s was taken away while it was in use: %s", path,
                   strerror(errno));
  zh_file_identity is = identity_of(&info);
  if (is.device != was->device || is.inode != was->inode)
    return zh_fail(err, ZH_ERR_CHECK, "%s was replaced by another file while it was in use", path);
  if (is.bytes != was->bytes || is.modified_ns != was->modified_ns ||
      is.changed_ns != was->changed_ns)
    return zh_fail(err, ZH_ERR_CHECK,
                   "%s was written to, renamed or given other rights while it was in use; leave it "
                   "alone until the work is done",
                   path);
  return ZH_OK;
}

void zh_unmap(zh_mapping *mapping) {
  if (mapping == NULL || mapping->data == NULL) return;
  munmap((void *)(uintptr_t)mapping->data, mapping->bytes);
  *mapping = (zh_mapping){0};
}

static const char *lost_mapping_sentence;

/* Only calls that are safe in a handler. Another cause of SIGBUS ends the program as it would have
 * been ended: the instruction is repeated under the default action. */
static void on_lost_mapping(int number, siginfo_t *info, void *context) {
  (void)context;
  if (info->si_code != BUS_ADRERR) {
    signal(number, SIG_DFL);
    return;
  }
  (void)!write(STDERR_FILENO, lost_mapping_sentence, strlen(lost_mapping_sentence));
  _exit(zh_status_exit_code(ZH_ERR_IO));
}

void zh_end_on_lost_mapping(const char *sentence) {
  struct sigaction action = {.sa_sigaction = on_lost_mapping, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  lost_mapping_sentence = sentence;
  sigaction(SIGBUS, &action, NULL);
}

/* Reads until end or limit; the file may grow or shrink under us, so its size is only a hint. */
static ssize_t read_fully(int fd, char *bytes, size_t limit) {
  size_t done = 0;
  while (done < limit) {
    ssize_t got = read(fd, bytes + done, limit - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += (size_t)got;
  }
  return (ssize_t)done;
}

zh_status zh_read_file(char **out, size_t *length, const char *path, size_t max_bytes,
                       zh_error *err) {
  int fd;
  size_t size;
  *out = NULL;
  if (length != NULL) *length = 0;
  ZH_TRY(open_regular(&fd, &size, NULL, path, err));
  zh_status status = ZH_OK;
  char *bytes = NULL;
  if (size > max_bytes) {
    status = zh_fail(err, ZH_ERR_INPUT, "%s: has %zu bytes; at most %zu are read", path, size,
                     max_bytes);
    goto done;
  }
  bytes = malloc(size + 1);
  if (bytes == NULL) {
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s, %zu bytes)", path, size);
    goto done;
  }
  ssize_t got = read_fully(fd, bytes, size);
  if (got < 0) {
    status = zh_fail(err, ZH_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    goto done;
  }
  bytes[got] = 0;
  if (length != NULL) *length = (size_t)got;
  *out = bytes;
  bytes = NULL;
done:
  free(bytes);
  close(fd);
  return status;
}

static int write_fully(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t put = write(fd, bytes, length);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return -1;
    bytes += put;
    length -= (size_t)put;
  }
  return 0;
}

/* "" and "a/b" and "/a" give ".", "a" and "/". */
static void parent_of(char *out, size_t capacity, const char *path) {
  const char *slash = strrchr(path, '/');
  int length = slash == NULL ? 0 : slash == path ? 1 : (int)(slash - path);
  snprintf(out, capacity, "%.*s", length > 0 ? length : 1, length > 0 ? path : ".");
}

/* A rename survives a power cut only once its folder is on the disk. Some file systems refuse; that
 * is no failure. */
static void sync_parent(const char *path) {
  char parent[PATH_MAX];
  parent_of(parent, sizeof parent, path);
  int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

struct zh_writer {
  int fd;
  char path[PATH_MAX], temporary[PATH_MAX];
};

static zh_status fail_writing(const zh_writer *w, int reason, zh_error *err) {
  return zh_fail(err, ZH_ERR_IO, "%s: cannot be written: %s", w->path, strerror(reason));
}

static zh_status name_temporary(zh_writer *w, const char *path, zh_error *err) {
  static atomic_uint serial;
  struct stat info;
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
    return zh_fail(err, ZH_ERR_INPUT, "%s: is %s; it is not replaced by a file", path,
                   kind_of(info.st_mode));
  snprintf(w->path, sizeof w->path, "%s", path);
  int used = snprintf(w->temporary, sizeof w->temporary, "%s.%ld-%u.tmp", path, (long)getpid(),
                      atomic_fetch_add(&serial, 1));
  if (used > 0 && (size_t)used < sizeof w->temporary) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%.200s…: the path is too long", path);
}

zh_status zh_writer_open(zh_writer **out, const char *path, zh_error *err) {
  *out = NULL;
  zh_writer *w = calloc(1, sizeof *w);
  if (w == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", path);
  zh_status status = name_temporary(w, path, err);
  if (status == ZH_OK) {
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd < 0) status = fail_writing(w, errno, err);
  }
  if (status != ZH_OK) {
    free(w);
    return status;
  }
  *out = w;
  return ZH_OK;
}

zh_status zh_writer_put(zh_writer *w, const void *bytes, size_t length, zh_error *err) {
  return write_fully(w->fd, bytes, length) == 0 ? ZH_OK : fail_writing(w, errno, err);
}

const char *zh_writer_temporary(const zh_writer *w) {
  return w->temporary;
}

zh_status zh_writer_commit(zh_writer *w, zh_error *err) {
  bool wrote = fsync(w->fd) == 0;
  int reason = errno;
  if (close(w->fd) != 0 && wrote) reason = errno, wrote = false;
  if (wrote && rename(w->temporary, w->path) != 0) reason = errno, wrote = false;
  zh_status status = wrote ? ZH_OK : fail_writing(w, reason, err);
  if (wrote)
    sync_parent(w->path);
  else
    unlink(w->temporary);
  free(w);
  return status;
}

void zh_writer_abandon(zh_writer *w) {
  if (w == NULL) return;
  close(w->fd);
  unlink(w->temporary);
  free(w);
}

zh_status zh_write_file(const char *path, const void *bytes, size_t length, zh_error *err) {
  zh_writer *writer = NULL;
  ZH_TRY(zh_writer_open(&writer, path, err));
  zh_status status = zh_writer_put(writer, bytes, length, err);
  if (status == ZH_OK) return zh_writer_commit(writer, err);
  zh_writer_abandon(writer);
  return status;
}

zh_status zh_append_line(const char *path, const char *line, zh_error *err) {
  zh_text text = {0};
  struct stat info;
  zh_text_puts(&text, line);
  zh_text_puts(&text, "\n");
  if (text.failed) {
    zh_text_free(&text);
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory (a line of %s)", path);
  }
  bool created = access(path, F_OK) != 0;
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0666);
  bool wrote = fd >= 0 && fstat(fd, &info) == 0 && write_fully(fd, text.data, text.length) == 0;
  int reason = errno;
  /* Half a line is worse than none: a full disk takes back what it took. */
  if (!wrote && fd >= 0 && ftruncate(fd, info.st_size) != 0) reason = errno;
  if (wrote && fsync(fd) != 0 && errno != EINVAL) reason = errno, wrote = false;
  if (fd >= 0) close(fd);
  zh_text_free(&text);
  if (!wrote) return zh_fail(err, ZH_ERR_IO, "%s: cannot be written: %s", path, strerror(reason));
  if (created) sync_parent(path);
  return ZH_OK;
}

zh_status zh_make_dirs(const char *path, zh_error *err) {
  char partial[PATH_MAX];
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof partial)
    return zh_fail(err, ZH_ERR_INPUT, "%.200s: cannot be a folder's name", path);
  memcpy(partial, path, length + 1);
  for (size_t i = 1; i <= length; i++) {
    if (partial[i] != '/' && partial[i] != 0) continue;
    partial[i] = 0;
    int reason = mkdir(partial, 0777) == 0 ? 0 : errno;
    if (reason != 0 && !zh_is_dir(partial)) {
      if (reason == EEXIST) reason = ENOTDIR;
      return zh_fail(err, ZH_ERR_IO, "%s: the folder cannot be made: %s", partial,
                     strerror(reason));
    }
    partial[i] = path[i];
  }
  return ZH_OK;
}

/* The tree below path, links not followed, no change of working folder, siblings in byte order. */
static int by_name(const FTSENT **a, const FTSENT **b) {
  return strcmp((*a)->fts_name, (*b)->fts_name);
}

static FTS *walk(const char *path) {
  char *roots[] = {(char *)(uintptr_t)path, NULL};
  return fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
}

zh_status zh_remove_tree(const char *path, zh_error *err) {
  struct stat info;
  if (lstat(path, &info) != 0 && errno == ENOENT) return ZH_OK;
  FTS *tree = walk(path);
  if (tree == NULL)
    return zh_fail(err, ZH_ERR_IO, "%s: cannot be removed: %s", path, strerror(errno));
  zh_status status = ZH_OK;
  for (FTSENT *entry; status == ZH_OK && (entry = fts_read(tree)) != NULL;) {
    if (entry->fts_info == FTS_D) continue;
    int reason = 0;
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR) {
      reason = entry->fts_errno;
    } else if ((entry->fts_info == FTS_DP ? rmdir : unlink)(entry->fts_accpath) != 0) {
      reason = errno;
    }
    if (reason != 0)
      status =
          zh_fail(err, ZH_ERR_IO, "%s: cannot be removed: %s", entry->fts_path, strerror(reason));
  }
  fts_close(tree);
  return status;
}

bool zh_is_file(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool zh_is_dir(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

uint64_t zh_file_bytes(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* Appends the entry's path below the root, NUL included; counts it. */
static zh_status list_entry(zh_text *names, size_t *count, const FTSENT *entry, size_t root,
                            zh_error *err) {
  switch (entry->fts_info) {
  case FTS_D:
  case FTS_DP:
    return ZH_OK;
  case FTS_F:
    zh_text_append(names, entry->fts_path + root, strlen(entry->fts_path + root) + 1);
    ++*count;
    return ZH_OK;
  case FTS_DNR:
  case FTS_ERR:
  case FTS_NS:
    return zh_fail(err, ZH_ERR_INPUT, "%s: cannot be read: %s", entry->fts_path,
                   strerror(entry->fts_errno));
  default:
    return zh_fail(err, ZH_ERR_INPUT, "%s: is %s; only regular files belong here", entry->fts_path,
                   entry->fts_statp ? kind_of(entry->fts_statp->st_mode) : "no regular file");
  }
}

zh_status zh_list_files(zh_file_list *out, const char *dir, zh_error *err) {
  *out = (zh_file_list){0};
  if (!zh_is_dir(dir)) return zh_fail(err, ZH_ERR_INPUT, "%s: is no folder", dir);
  FTS *tree = walk(dir);
  if (tree == NULL)
    return zh_fail(err, ZH_ERR_INPUT, "%s: cannot be read: %s", dir, strerror(errno));
  zh_text names = {0};
  size_t count = 0, root = strlen(dir);
  while (root > 0 && dir[root - 1] == '/') root--;
  zh_status status = ZH_OK;
  for (FTSENT *entry; status == ZH_OK && (entry = fts_read(tree)) != NULL;)
    status = list_entry(&names, &count, entry, root + 1, err);
  fts_close(tree);
  out->paths = calloc(count + 1, sizeof *out->paths);
  if (status == ZH_OK && (names.failed || out->paths == NULL))
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (files of %s)", dir);
  if (status != ZH_OK) {
    zh_text_free(&names);
    free(out->paths);
    *out = (zh_file_list){0};
    return status;
  }
  for (char *name = names.data; out->count < count; name += strlen(name) + 1)
    out->paths[out->count++] = name;
  /* The strings stay reachable for zh_file_list_free through the slot behind the last path. */
  out->paths[count] = names.data;
  if (count > 1) qsort(out->paths, count, sizeof *out->paths, zh_by_text);
  return ZH_OK;
}

void zh_file_list_free(zh_file_list *list) {
  if (list == NULL || list->paths == NULL) return;
  free(list->paths[list->count]);
  free(list->paths);
  *list = (zh_file_list){0};
}
