/* What went wrong in a launch, one line each. */
#include <set>
#include <stdarg.h>

#include "engine.h"

namespace zh_shim {

enum { FAULTS_MAX = 16 };

static std::vector<std::string> lines;
static size_t count; /* also of those that are not kept */
static std::string all_lines;
static std::set<std::pair<std::string, int>> said; /* kind and line of source, of this launch */
static uint64_t said_launch;

std::string thread_name(unsigned thread) {
  dim3 b = blockDim;
  char text[64];
  snprintf(text, sizeof text, "(%u,%u,%u)", thread % b.x, thread / b.x % b.y, thread / b.x / b.y);
  return text;
}

std::string block_name(uint3 at) {
  char text[64];
  snprintf(text, sizeof text, "(%u,%u,%u)", at.x, at.y, at.z);
  return text;
}

static std::string kernel_name() {
  std::string name = current_launch()->shape.name;
  if (name.size() > 2 && name.front() == '(' && name.back() == ')')
    name = name.substr(1, name.size() - 2);
  return name;
}

static void add(std::string line) {
  count++;
  if (lines.size() < FAULTS_MAX) lines.push_back(std::move(line));
}

static std::string formatted(const char *format, va_list arguments) {
  char text[640];
  vsnprintf(text, sizeof text, format, arguments);
  return text;
}

static bool is_new(const char *kind, int line) {
  if (said_launch != now.launch) said.clear();
  said_launch = now.launch;
  return said.insert({kind, line}).second;
}

void fault(const char *kind, const site &where, const char *format, ...) {
  if (!is_new(kind, where.file ? where.line : -1)) return;
  va_list arguments;
  va_start(arguments, format);
  std::string line = "kernel '" + kernel_name() + "', block " + block_name(blockIdx) + ", thread " +
                     thread_name(now.thread);
  if (where.file) {
    const char *slash = strrchr(where.file, '/');
    line += std::string(", ") + (slash ? slash + 1 : where.file) + ":" + std::to_string(where.line);
  }
  add(line + ": " + formatted(format, arguments));
  va_end(arguments);
}

void fault_of_launch(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string line = "kernel '" + kernel_name() + "', block " + block_name(blockIdx);
  add(line + ": " + formatted(format, arguments));
  va_end(arguments);
}

void fault_of_call(const char *text) {
  add(std::string("a call: ") + text);
}

size_t faults() {
  return count;
}

const std::string &first_fault() {
  static const std::string none;
  return lines.empty() ? none : lines.front();
}

void forget_faults() {
  count = 0;
  lines.clear();
  said.clear();
}

} // namespace zh_shim

extern "C" __attribute__((visibility("default"))) const char *zh_shim_report(void) {
  std::lock_guard<std::recursive_mutex> lock(zh_shim::gate);
  zh_shim::all_lines.clear();
  for (const std::string &line : zh_shim::lines) zh_shim::all_lines += line + "\n";
  return zh_shim::all_lines.c_str();
}
