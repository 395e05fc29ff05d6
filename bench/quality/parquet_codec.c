/* Pages of Parquet made long again, by the libraries that were there at build time. */
#include <string.h>

#include "bench/quality/parquet_parts.h"

#ifdef ZH_ZLIB
#include <zlib.h>
#endif
#ifdef ZH_ZSTD
#include <zstd.h>
#endif
#ifdef ZH_SNAPPY
#include <snappy-c.h>
#endif

enum { UNCOMPRESSED, SNAPPY, GZIP, LZO, BROTLI, LZ4, ZSTD, LZ4_RAW, CODECS };
static const char *const names[CODECS] = {"nothing", "Snappy", "gzip",      "LZO",
                                          "Brotli",  "LZ4",    "Zstandard", "LZ4"};

static zh_status refuse(int codec, const char *where, zh_error *err) {
  bool known = codec > UNCOMPRESSED && codec < CODECS;
  bool could = codec == SNAPPY || codec == GZIP || codec == ZSTD;
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s: compressed by %s, which %s; write it with Snappy, gzip, Zstandard or "
                 "without compression",
                 where, known ? names[codec] : "a way that is not known",
                 could ? "this program was built without" : "is not read");
}

/* gzip's own header, or zlib's. */
static bool gunzip(unsigned char *out, size_t size, const unsigned char *in, size_t length) {
#ifdef ZH_ZLIB
  z_stream stream = {.next_in = (unsigned char *)(uintptr_t)in,
                     .avail_in = (uInt)length,
                     .next_out = out,
                     .avail_out = (uInt)size};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return false;
  int end = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  return end == Z_STREAM_END && stream.total_out == size;
#else
  (void)out, (void)size, (void)in, (void)length;
  return false;
#endif
}

static bool unzstd(unsigned char *out, size_t size, const unsigned char *in, size_t length) {
#ifdef ZH_ZSTD
  return ZSTD_decompress(out, size, in, length) == size;
#else
  (void)out, (void)size, (void)in, (void)length;
  return false;
#endif
}

static bool unsnappy(unsigned char *out, size_t size, const unsigned char *in, size_t length) {
#ifdef ZH_SNAPPY
  size_t made = size, stated = 0;
  const char *bytes = (const char *)in;
  if (snappy_uncompressed_length(bytes, length, &stated) != SNAPPY_OK || stated != size)
    return false;
  return snappy_uncompress(bytes, length, (char *)out, &made) == SNAPPY_OK && made == size;
#else
  (void)out, (void)size, (void)in, (void)length;
  return false;
#endif
}

static bool is_known(int codec) {
  switch (codec) {
  case UNCOMPRESSED:
    return true;
#ifdef ZH_ZLIB
  case GZIP:
    return true;
#endif
#ifdef ZH_ZSTD
  case ZSTD:
    return true;
#endif
#ifdef ZH_SNAPPY
  case SNAPPY:
    return true;
#endif
  default:
    return false;
  }
}

zh_status zh_parquet_decompress(unsigned char *out, size_t size, int codec, const unsigned char *in,
                                size_t length, const char *where, zh_error *err) {
  bool good = false;
  if (!is_known(codec)) return refuse(codec, where, err);
  if (codec == UNCOMPRESSED) {
    good = length == size;
    if (good && size > 0) memcpy(out, in, size);
  } else if (codec == GZIP) {
    good = gunzip(out, size, in, length);
  } else if (codec == ZSTD) {
    good = unzstd(out, size, in, length);
  } else {
    good = unsnappy(out, size, in, length);
  }
  if (good) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s: a page of %s does not become the %zu bytes that it states",
                 where, names[codec], size);
}
