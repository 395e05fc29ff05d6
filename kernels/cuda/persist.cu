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
  /* A norm whose output a product may make for itself. If it is all of what reads it that does so, and another norm
   * writes over it, the step falls out. */
  struct norm {
    size_t step;
    touch writes, reads;
    bool unchanged, is_read;
  };
  std::vector<zh_step> steps;
  std::vector<bool> falls_out;
  std::vector<norm> norms;
  std::vector<touch> touched; /* since blocks last waited for each other */
  size_t shared_bytes;
  size_t product;      /* the step behind which weights of the next product may be asked for */
  uint32_t most_tasks; /* of a step */
  void *memory;        /* of the program, as far as it is there while recording */
};

struct zh_program {
  void *memory; /* the word of meetings, then the scratch */
  void *steps;
  size_t count, shared_bytes;
  unsigned blocks;
};
enum { SCRATCH_AT = 256, SCRATCH_BYTES = 64 * 1024 };

/* --- recording --- */

static bool is_local(const zh_recording::touch &a, const zh_recording::touch &b) {
  return a.begin == b.begin && a.unit == b.unit && a.unit != 0;
}

static bool overlap(const zh_recording::touch &a, const zh_recording::touch &b) {
  return a.begin < b.end && b.begin < a.end;
}

static bool must_wait(const zh_recording *r, const zh_recording::touch &mine) {
  for (const zh_recording::touch &other : r->touched)
    if ((mine.writes || other.writes) && overlap(mine, other) && !is_local(mine, other)) return true;
  return false;
}

/* --- norms that products make for themselves --- */

static bool is_same(const zh_recording::touch &a, const zh_recording::touch &b) {
  return a.begin == b.begin && a.end == b.end;
}

/* What a step does to the norms before it. */
static void note_touch(zh_recording *r, const zh_step &step, const zh_recording::touch &mine) {
  for (size_t i = 0; i < r->norms.size();) {
    zh_recording::norm &n = r->norms[i];
    bool over = mine.writes && overlap(mine, n.writes);
    if (mine.writes && overlap(mine, n.reads)) n.unchanged = false;
    if (!mine.writes && overlap(mine, n.writes)) n.is_read = true;
    if (over && !n.is_read && step.kind == ZH_STEP_NORM && is_same(mine, n.writes)) r->falls_out[n.step] = true;
    if (over)
      r->norms.erase(r->norms.begin() + (ptrdiff_t)i);
    else
      ++i;
  }
}

static void keep_norm(zh_recording *r, const zh_step &step, const std::vector<zh_recording::touch> &mine) {
  if (step.kind != ZH_STEP_NORM || step.width != 1 || mine.size() != 2 || overlap(mine[0], mine[1])) return;
  r->norms.push_back({r->steps.size(), mine[0], mine[1], true, false});
}

bool zh_find_norm(zh_device *device, zh_recorded_norm *out, const zh_touched &output) {
  zh_recording *r = device->recording;
  for (const zh_recording::norm &n : r->norms) {
    if (!n.unchanged || n.writes.begin != output.at || n.writes.end != output.at + output.bytes) continue;
    *out = {
        r->steps[n.step].view, r->steps[n.step].variant, {n.reads.begin, n.reads.end - n.reads.begin, n.reads.unit}};
    return true;
  }
  return false;
}

/* Steps that fell out leave their waiting, and what is asked for meanwhile, to the one before. */
static void leave_out(zh_recording *r) {
  std::vector<zh_step> kept;
  for (size_t i = 0; i < r->steps.size(); ++i) {
    const zh_step &step = r->steps[i];
    if (!r->falls_out[i] || kept.empty()) {
      kept.push_back(step);
      continue;
    }
    if (step.meets) kept.back().meets = 1;
    if (!kept.back().ahead.sides) kept.back().ahead = step.ahead;
  }
  r->steps.swap(kept);
}

/* --- steps --- */

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
  for (const zh_recording::touch &t : mine) note_touch(r, step, t);
  keep_norm(r, step, mine);
  if (waits) {
    r->steps.back().meets = 1;
    r->touched.clear();
  }
  r->touched.insert(r->touched.end(), mine.begin(), mine.end());
  r->steps.push_back(step);
  r->falls_out.push_back(false);
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

void *zh_record_scratch(zh_device *device, size_t *bytes) {
  *bytes = SCRATCH_BYTES;
  return static_cast<unsigned char *>(device->recording->memory) + SCRATCH_AT;
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
  zh_status status = zh_cuda_alloc(device, &r->memory, SCRATCH_AT + SCRATCH_BYTES, "a program", err);
  /* What is enqueued all the same is caught here, and refused at the end. */
  if (status == ZH_OK) status = zh_cuda_begin_graph(device, err);
  if (status == ZH_OK) {
    device->recording = r;
    return ZH_OK;
  }
  zh_cuda_release(device, r->memory);
  delete r;
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
  if (strays) return zh_fail(err, ZH_ERR_LACKING, "%zu of a program's calls have no place in one kernel", strays);
  return ZH_OK;
}

static zh_status make(zh_device *device, zh_program *p, zh_recording *r, zh_error *err) {
  leave_out(r);
  size_t bytes = r->steps.size() * sizeof(zh_step);
  p->count = r->steps.size();
  p->shared_bytes = zh_steps_shared(r->shared_bytes);
  if (p->shared_bytes > device->facts.shared_bytes)
    return zh_fail(err, ZH_ERR_LACKING,
                   "GPU %d (%s) gives a block %zu bytes of shared memory, but a program of these calls needs %zu",
                   device->index, device->facts.name, (size_t)device->facts.shared_bytes, p->shared_bytes);
  ZH_CUDA(device, zh_steps_blocks(&p->blocks, device, p->shared_bytes), "asking how many blocks fit");
  if (p->blocks == 0)
    return zh_fail(err, ZH_ERR_LACKING, "GPU %d has no room for blocks of a program with %zu bytes of shared memory",
                   device->index, p->shared_bytes);
  if (p->blocks > r->most_tasks) p->blocks = r->most_tasks;
  zh_status status = zh_cuda_alloc(device, &p->steps, bytes, "a program", err);
  if (status != ZH_OK) return status;
  /* On the stream that will read them, which waits for no other. */
  ZH_TRY(zh_cuda_fill(device, p->memory, 0, SCRATCH_AT, err));
  ZH_TRY(zh_cuda_upload(device, p->steps, r->steps.data(), bytes, err));
  return zh_cuda_wait(device, err);
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
  if (program)
    program->memory = r->memory;
  else
    zh_cuda_release(device, r->memory);
  if (status == ZH_OK) status = make(device, program, r, err);
  delete r;
  if (status == ZH_OK) {
    made->program = program;
    *out = made;
    return ZH_OK;
  }
  zh_program_free(program);
  delete made;
  return status;
}

/* --- launching --- */

zh_status zh_program_launch(zh_device *device, const zh_program *p, zh_error *err) {
  if (p->count == 0) return ZH_OK;
  zh_steps_launch(device, p->steps, p->count, p->memory, p->blocks, p->shared_bytes);
  return zh_cuda_launched(device, "a program", err);
}

void zh_program_free(zh_program *p) {
  if (!p) return;
  zh_cuda_release(nullptr, p->memory);
  zh_cuda_release(nullptr, p->steps);
  delete p;
}
