/* Streams, events and graphs: work is kept until somebody waits for it. */
#include <chrono>
#include <deque>
#include <set>
#include <stdlib.h>

#include "engine.h"

struct event_state {
  bool recorded, captured, done;
  double seconds;
  CUstream_st *stream;
};
struct CUevent_st {
  std::shared_ptr<event_state> state;
};
typedef std::vector<std::function<void()>> work_list;
struct CUgraph_st {
  std::shared_ptr<work_list> work;
};
struct CUgraphExec_st {
  std::shared_ptr<work_list> work;
};
struct CUstream_st {
  std::deque<std::function<void()>> waiting;
  std::shared_ptr<work_list> captured; /* while a graph is being made */
  cudaStreamCaptureMode mode;
  bool spoiled;
  bool looked_at; /* by cudaStreamQuery, since something was enqueued */
};

namespace zh_shim {

typedef std::lock_guard<std::recursive_mutex> locked;

static std::set<CUstream_st *> streams;
static CUstream_st default_stream;

/* --- doing what waits --- */

static void do_next(CUstream_st *stream) {
  std::function<void()> work = std::move(stream->waiting.front());
  stream->waiting.pop_front();
  work();
}

static void drain(CUstream_st *stream) {
  while (!stream->waiting.empty() && lost() == cudaSuccess) do_next(stream);
  if (lost() != cudaSuccess) stream->waiting.clear();
}

void drain_all() {
  drain(&default_stream);
  for (CUstream_st *stream : streams) drain(stream);
}

/* CUDA's own word, with which each call waits for what it has enqueued. */
static bool calls_wait() {
  const char *text = getenv("CUDA_LAUNCH_BLOCKING");
  return text && strcmp(text, "1") == 0;
}

static CUstream_st *stream_of(cudaStream_t stream) {
  if (!stream) return &default_stream;
  return streams.count(stream) ? stream : nullptr;
}

cudaError_t enqueue(cudaStream_t which, std::function<void()> work) {
  CUstream_st *stream = stream_of(which);
  if (lost() != cudaSuccess) return failed(lost());
  if (!stream) return complain(cudaErrorInvalidResourceHandle, "a stream that is none");
  if (stream->captured) {
    stream->captured->push_back(std::move(work));
    return cudaSuccess;
  }
  stream->waiting.push_back(std::move(work));
  stream->looked_at = false;
  if (calls_wait()) drain(stream);
  return cudaSuccess;
}

static bool spoils_a_capture(bool waits) {
  for (CUstream_st *stream : streams)
    if (stream->captured && (waits || stream->mode != cudaStreamCaptureModeRelaxed)) {
      stream->spoiled = true;
      complain(cudaErrorStreamCaptureUnsupported,
               "a call that waits, or allocates, while a graph is being made");
      return true;
    }
  return false;
}

bool forbidden_by_capture() {
  return spoils_a_capture(true);
}

bool allocation_forbidden_by_capture() {
  return spoils_a_capture(false);
}

/* --- launches, and the n-th in which the device is lost --- */

static unsigned long launches;

static bool is_lost_now() {
  const char *text = getenv("ZH_SHIM_FAIL");
  launches++;
  return text && *text && strtoul(text, nullptr, 0) == launches;
}

void run_unless_lost(const kernel_launch &work) {
  if (is_lost_now())
    lose(cudaErrorECCUncorrectable);
  else
    run_launch(work);
}

} // namespace zh_shim

using namespace zh_shim;

extern "C" __attribute__((visibility("default"))) void zh_shim_forget(uint64_t seed) {
  locked lock(gate);
  for (CUstream_st *stream : streams) stream->waiting.clear();
  default_stream.waiting.clear();
  forget_loss();
  forget_faults();
  launches = 0;
  seed_orders(seed);
}

/* --- for libraries that tests play --- */

extern "C" __attribute__((visibility("default"))) int
zh_shim_enqueue(void *which, void (*work)(void *), void *context, void (*dropped)(void *)) {
  locked lock(gate);
  cudaStream_t stream = static_cast<cudaStream_t>(which);
  bool kept = streams.count(stream) && stream->captured;
  std::shared_ptr<void> held(kept ? context : nullptr, [dropped](void *of) {
    if (of && dropped) dropped(of);
  });
  cudaError_t status = enqueue(stream, [work, context, held] { work(context); });
  return status != cudaSuccess ? -1 : kept;
}

extern "C" __attribute__((visibility("default"))) void *zh_shim_contents(const void *address,
                                                                         size_t bytes) {
  unsigned char *at = nullptr;
  const memory *of = memory_at(address, &at);
  if (!of || !of->bytes || bytes > of->size || (size_t)(at - of->bytes) > of->size - bytes)
    return nullptr;
  return at;
}

/* --- streams --- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) {
  locked lock(gate);
  *out = nullptr;
  if (lost() != cudaSuccess) return failed(lost());
  *out = new CUstream_st();
  streams.insert(*out);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *out) {
  return cudaStreamCreateWithFlags(out, cudaStreamDefault);
}

/* A device that was lost works again once all its streams are gone: the next one opens it anew. */
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  locked lock(gate);
  if (!streams.count(stream))
    return complain(cudaErrorInvalidResourceHandle, "a stream that is none");
  drain(stream);
  streams.erase(stream);
  delete stream;
  if (streams.empty()) forget_loss();
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t which) {
  locked lock(gate);
  CUstream_st *stream = stream_of(which);
  if (!stream) return complain(cudaErrorInvalidResourceHandle, "a stream that is none");
  if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  drain(stream);
  return failed(lost());
}

cudaError_t cudaStreamQuery(cudaStream_t which) {
  locked lock(gate);
  CUstream_st *stream = stream_of(which);
  if (!stream) return complain(cudaErrorInvalidResourceHandle, "a stream that is none");
  if (lost() != cudaSuccess) return failed(lost());
  if (stream->waiting.empty()) return cudaSuccess;
  if (stream->looked_at) do_next(stream); /* who looks again and again sees it go on */
  stream->looked_at = true;
  return failed(lost() != cudaSuccess ? lost() : cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize() {
  locked lock(gate);
  if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  drain_all();
  return failed(lost());
}

/* --- events --- */

static double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned) {
  locked lock(gate);
  *out = nullptr;
  if (lost() != cudaSuccess) return failed(lost());
  *out = new CUevent_st{std::make_shared<event_state>()};
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out) {
  return cudaEventCreateWithFlags(out, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  locked lock(gate);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t which) {
  locked lock(gate);
  CUstream_st *stream = stream_of(which);
  event->state = std::make_shared<event_state>(); /* waiting for the one before stays valid */
  std::shared_ptr<event_state> state = event->state;
  state->recorded = true;
  state->stream = stream;
  state->captured = stream && stream->captured;
  if (state->captured) return cudaSuccess; /* it only orders the graph, as in CUDA */
  return enqueue(which, [state] {
    state->done = true;
    state->seconds = seconds_now();
  });
}

static cudaError_t event_error(const event_state &state) {
  if (state.captured)
    return complain(cudaErrorCapturedEvent, "an event that belongs to a graph being made");
  return cudaSuccess;
}

static void drain_until_done(const std::shared_ptr<event_state> &state) {
  if (state->recorded && !state->done && streams.count(state->stream)) drain(state->stream);
  if (state->recorded && !state->done && state->stream == &default_stream) drain(&default_stream);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  locked lock(gate);
  if (event_error(*event->state) != cudaSuccess) return cudaErrorCapturedEvent;
  if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  drain_until_done(event->state);
  return failed(lost());
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  locked lock(gate);
  if (lost() != cudaSuccess) return failed(lost());
  return failed(!event->state->recorded || event->state->done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t second) {
  locked lock(gate);
  const event_state &a = *first->state, &b = *second->state;
  if (event_error(a) != cudaSuccess || event_error(b) != cudaSuccess) return cudaErrorCapturedEvent;
  if (!a.recorded || !b.recorded)
    return complain(cudaErrorInvalidResourceHandle, "time between events that were not recorded");
  if (lost() != cudaSuccess) return failed(lost());
  if (!a.done || !b.done) return failed(cudaErrorNotReady);
  *ms = (float)((b.seconds - a.seconds) * 1e3);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  locked lock(gate);
  std::shared_ptr<event_state> state = event->state;
  if (event_error(*state) != cudaSuccess) return cudaErrorCapturedEvent;
  return enqueue(stream, [state] { drain_until_done(state); });
}

/* --- graphs --- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  locked lock(gate);
  if (!streams.count(stream))
    return complain(cudaErrorStreamCaptureUnsupported, "a graph is made of a stream of one's own");
  if (stream->captured) return complain(cudaErrorIllegalState, "two graphs at once of one stream");
  stream->captured = std::make_shared<work_list>();
  stream->mode = mode;
  stream->spoiled = false;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *out) {
  locked lock(gate);
  *out = cudaStreamCaptureStatusNone;
  if (!streams.count(stream)) return failed(cudaErrorInvalidResourceHandle);
  if (stream->captured)
    *out = stream->spoiled ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
  locked lock(gate);
  *out = nullptr;
  if (!streams.count(stream) || !stream->captured)
    return complain(cudaErrorIllegalState, "the end of a graph that was not begun");
  std::shared_ptr<work_list> work = std::move(stream->captured);
  stream->captured.reset();
  if (lost() != cudaSuccess) return failed(lost());
  if (stream->spoiled)
    return complain(cudaErrorStreamCaptureInvalidated, "a graph that was spoiled: %s",
                    complaint().c_str());
  *out = new CUgraph_st{work};
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
  locked lock(gate);
  *out = nullptr;
  if (lost() != cudaSuccess) return failed(lost());
  *out = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}

/* How many there are; nobody asks which. */
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void *, size_t *count) {
  locked lock(gate);
  *count = graph->work->size();
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  locked lock(gate);
  std::shared_ptr<work_list> work = graph->work;
  return enqueue(stream, [work] {
    for (const std::function<void()> &one : *work)
      if (lost() == cudaSuccess) one();
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  locked lock(gate);
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  locked lock(gate);
  delete graph;
  return cudaSuccess;
}
