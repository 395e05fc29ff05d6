#include "evaluator/audit/holes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int zh_holes_open(const char *path) {
  struct stat about;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  if (fstat(file, &about) == 0 && about.st_blocks * 512 < about.st_size) return file;
  close(file);
  return -1;
}

/* Where the file system cannot say, all is data. */
bool zh_holes_next_data(uint64_t *data, uint64_t *data_end, int file, uint64_t begin,
                        uint64_t end) {
  *data = begin;
  *data_end = end;
  if (file < 0) return begin < end;
  off_t first = lseek(file, (off_t)begin, SEEK_DATA);
  if (first < 0) return errno != ENXIO && begin < end;
  if ((uint64_t)first >= end) return false;
  off_t last = lseek(file, first, SEEK_HOLE);
  *data = (uint64_t)first;
  if (last > first && (uint64_t)last < end) *data_end = (uint64_t)last;
  return true;
}

uint64_t zh_hash_of_zeros(uint64_t bytes) {
  static const unsigned char zeros[4096];
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (uint64_t done = 0; done < bytes; done += sizeof zeros) {
    uint64_t left = bytes - done;
    XXH3_64bits_update(&state, zeros, left < sizeof zeros ? (size_t)left : sizeof zeros);
  }
  return XXH3_64bits_digest(&state);
}
