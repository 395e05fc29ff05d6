#include "kernels/kernels.h"

#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

static size_t whole_pages(size_t bytes) {
  return (bytes + HUGE_PAGE - 1) & ~((size_t)HUGE_PAGE - 1);
}

/* Only an aligned 2 MiB can be one page: map one page more, then give back what lies outside. */
void *zh_big_alloc(size_t bytes) {
  if (bytes == 0 || bytes > SIZE_MAX / 2) return NULL;
  size_t kept = whole_pages(bytes), total = kept + HUGE_PAGE;
  char *mapping = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return NULL;
  size_t before = (HUGE_PAGE - (uintptr_t)mapping % HUGE_PAGE) % HUGE_PAGE,
         after = total - kept - before;
  if (before) (void)munmap(mapping, before);
  if (after) (void)munmap(mapping + before + kept, after);
  (void)madvise(mapping + before, kept, MADV_HUGEPAGE); /* advice: ordinary pages serve too */
  return mapping + before;
}

void zh_big_free(void *p, size_t bytes) {
  if (p) (void)munmap(p, whole_pages(bytes));
}
