/* Holes of sparse files: ranges that were never written and read as zeros. */
#ifndef ZH_EVALUATOR_AUDIT_HOLES_H
#define ZH_EVALUATOR_AUDIT_HOLES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A file that holds fewer blocks than bytes; -1 for any other, which is not asked further. */
int zh_holes_open(const char *path);
/* The first run of data in bytes [begin, end) of the file; false where all of them are a hole. */
bool zh_holes_next_data(uint64_t *data, uint64_t *data_end, int file, uint64_t begin, uint64_t end);
/* zh_row_hash of so many zero bytes, without having them. */
uint64_t zh_hash_of_zeros(uint64_t bytes);

#ifdef __cplusplus
}
#endif
#endif
