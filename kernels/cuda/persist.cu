/* Recording a program, and launching it. */
#include <new>
#include <vector>

#include "persist.cuh"

struct zh_recording {
  struct touch {
    uintptr_t begin, end;
    size_t unit;
    bool writes;
  };
  std::vector<zh_step> steps;
  std::vector<touch> touched; /* since blocks last waited for each other */
  size_t shared_bytes;
  size_t product; /* the step behind which weights of the next product may be asked for */
  uint32_t most_tasks; /* of a step */
};

struct zh_program {
  void *memory; /* the word of meetings, then the steps */
  size_t count, shared_bytes;
  unsigned blocks;
};
enum { STEPS_AT = 256 };

/* --- recording --- */

static bool is_local(const zh_recording::touch &a, const zh_recording::touch &b) {
  return a.begin == b.begin && a.unit == b.unit && a.unit != 0;
}

static bool must_wait(const zh_recording *r, const zh_recording::touch &mine) {
  for (const zh_recording::touch &other : r->touched)
    if ((mine.writes || other.writes) && mine.begin < other.end && other.begin < mine.end && !is_local(mine, other))
      return true;
  return false;
}

static void add_touches(std::vector<zh_recording::touch> *to, zh_touches some, bool writes) {
  for (const zh_touched &t : some) {
    if (t.at && t.bytes) to->push_back({t.at, t.at + t.bytes, t.unit, writes});
  }
}

zh_status zh_record_bytes(zh_device *device, const zh_step &step, size_t shared_bytes, zh_touches writes,
                          zh_touches reads, zh_error *) {
  zh_recording *r = device->recording;
  std::vector<zh_recording::touch> mine;
  add_touches(&mine, writes, true);
  add_touches(&mine, reads, false);
  bool waits = false;
  for (const zh_recording::touch &t : mine) waits = waits || must_wait(r, t);
  if (waits) {
    r->steps.back().meets = 1;
    r->touched.clear();
  }
  r->touched.insert(r->touched.end(), mine.begin(), mine.end());
  r->steps.push_back(step);
  if (shared_bytes > r->shared_bytes) r->shared_bytes = shared_bytes;
  if (step.tasks > r->most_tasks) r->most_tasks = step.tasks;
  return ZH_OK;
}

/* Asked for as early as nothing of the product before is still to be read: while blocks wait behind it. */
void zh_record_ahead(zh_device *device, const zh_ahead &ahead) {
  zh_recording *r = device->recording;
  size_t mine = r->steps.size() - 1;
  for (size_t i = r->product; i < mine; ++i) {
    if (!r->steps[i].meets || r->steps[i].ahead.sides) continue;
    r->steps[i].ahead = ahead;
    break;
  }
  r->product = mine;
}

zh_status zh_cuda_begin_program(zh_device *device, zh_error *err) {
  int together = 0;
  ZH_CUDA(device, cudaDeviceGetAttribute(&together, cudaDevAttrCooperativeLaunch, device->index),
          "asking for a device's abilities");
  if (!together)
    return zh_fail(err, ZH_ERR_LACKING, "GPU %d (%s) cannot launch blocks that wait for each other", device->index,
                   device->facts.name);
  zh_recording *r = new (std::nothrow) zh_recording();
  if (!r) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a program");
  /* What is enqueued all the same is caught here, and refused at the end. */
  zh_status status = zh_cuda_begin_graph(device, err);
  if (status != ZH_OK)
    delete r;
  else
    device->recording = r;
  return status;
}

/* Ends the capture; nothing must be in it. */
static zh_status end_capture(zh_device *device, zh_error *err) {
  cudaGraph_t stray = nullptr;
  size_t strays = 0;
  ZH_CUDA(device, cudaStreamEndCapture(device->stream, &stray), "ending a program");
  cudaError_t status = cudaGraphGetNodes(stray, nullptr, &strays);
  cudaGraphDestroy(stray);
  ZH_CUDA(device, status, "ending a program");
  if (strays)
    return zh_fail(err, ZH_ERR_LACKING, "%zu of a program's calls have no place in one kernel", strays);
  return ZH_OK;
}

static zh_status make(zh_device *device, zh_program *p, const zh_recording *r, zh_error *err) {
  size_t bytes = r->steps.size() * sizeof(zh_step);
  p->count = r->steps.size();
  p->shared_bytes = zh_steps_shared(r->shared_bytes);
  ZH_CUDA(device, zh_steps_blocks(&p->blocks, device, p->shared_bytes), "asking how many blocks fit");
  if (p->blocks == 0)
    return zh_fail(err, ZH_ERR_LACKING, "GPU %d has no room for blocks of a program with %zu bytes of shared memory",
                   device->index, p->shared_bytes);
  if (p->blocks > r->most_tasks) p->blocks = r->most_tasks;
  zh_status status = zh_cuda_alloc(device, &p->memory, STEPS_AT + bytes, "a program", err);
  if (status != ZH_OK) return status;
  ZH_CUDA(device, cudaMemset(p->memory, 0, STEPS_AT), "clearing a program");
  ZH_CUDA(device,
          cudaMemcpy(static_cast<unsigned char *>(p->memory) + STEPS_AT, r->steps.data(), bytes, cudaMemcpyHostToDevice),
          "copying a program");
  return ZH_OK;
}

zh_status zh_cuda_end_program(zh_device *device, zh_device_graph **out, zh_error *err) {
  zh_recording *r = device->recording;
  *out = nullptr;
  if (!r) return zh_fail(err, ZH_ERR_ARG, "the end of a program that was not begun");
  device->recording = nullptr;
  zh_device_graph *made = new (std::nothrow) zh_device_graph();
  zh_program *program = new (std::nothrow) zh_program();
  zh_status status = end_capture(device, err);
  if (status == ZH_OK && (!made || !program)) status = zh_fail(err, ZH_ERR_MEMORY, "not enough memory for a program");
  if (status == ZH_OK) status = make(device, program, r, err);
  if (made) made->program = program;
  if (status == ZH_OK)
    *out = made;
  else if (made)
    zh_cuda_release_graph(device, made);
  else
    delete program;
  delete r;
  return status;
}

/* --- launching --- */

zh_status zh_program_launch(zh_device *device, const zh_program *p, zh_error *err) {
  if (p->count == 0) return ZH_OK;
  zh_steps_launch(device, static_cast<unsigned char *>(p->memory) + STEPS_AT, p->count, p->memory, p->blocks,
                  p->shared_bytes);
  return zh_cuda_launched(device, "a program", err);
}

void zh_program_free(zh_program *p) {
  if (!p) return;
  if (p->memory) cudaFree(p->memory);
  delete p;
}
