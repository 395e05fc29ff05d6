/* Tables in Apache Parquet, the part of it in which data sets are published: columns of numbers,
 * truth values and text, structs and lists of them; PLAIN and dictionary pages, of both versions;
 * uncompressed, Snappy, gzip or Zstandard, where the libraries were there at build time. All else
 * is refused by name. Format: github.com/apache/parquet-format. */
#ifndef ZH_BENCH_QUALITY_PARQUET_H
#define ZH_BENCH_QUALITY_PARQUET_H

#include "core/json.h"

/* Appends an object a row, keys in the order of the schema; lists become arrays, structs objects,
 * what is not there null. The file is hostile: sizes, counts, depth and what it all takes in memory
 * are bounded. */
ZH_MUST_CHECK zh_status zh_parquet_read(json_t *rows, const char *path, zh_error *err);
/* The same of bytes in memory; name: for messages. */
ZH_MUST_CHECK zh_status zh_parquet_parse(json_t *rows, const unsigned char *bytes, size_t length,
                                         const char *name, zh_error *err);

#endif
