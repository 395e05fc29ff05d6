/* Protocols of comparisons. */
#include "evaluator/leading/protocol.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_protocol *protocol = NULL;
  if (size > 65536) return 0;
  if (zh_protocol_load(&protocol, fuzz_file(data, size), &err) != ZH_OK) {
    if (err.message[0] == 0 || protocol != NULL) abort(); /* refused without a word, or half kept */
    return 0;
  }
  if (protocol->peer_count == 0 || protocol->task_count == 0 || !(protocol->alpha > 0)) abort();
  zh_protocol_free(protocol);
  return 0;
}
