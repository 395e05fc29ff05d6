/* zhiheng doctor: what this node has, and what will be left out because of what it lacks. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/sandbox/judge.h"
#include "cli/cli.h"
#include "cli/doctor_gpu.h"
#include "core/files.h"
#include "core/text.h"
#include "kernels/kernels.h"

static error_t parse(int key, char *arg, struct argp_state *state) {
  bool *json = state->input;
  if (key == 'j') {
    *json = true;
    return 0;
  }
  if (key == ARGP_KEY_ARG) argp_error(state, "doctor takes no argument, but got '%s'", arg);
  return ARGP_ERR_UNKNOWN;
}

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0}, {0}};
static const struct argp doctor = {
    .options = options,
    .parser = parse,
    .doc = "Shows what this node has (processor, caches, memory, GPU, MPI, report tools) and what "
           "zhiheng will leave out because of what it lacks.\v"
           "Example:\n  zhiheng doctor\n  zhiheng doctor --json | jq .left_out"};

/* --- report tools --- */

/* First line that a command prints, or null. Commands are constants of this file. */
static json_t *first_line_of(const char *command) {
  char line[512];
  FILE *pipe = popen(command, "re");
  if (pipe == NULL) return json_null();
  bool read = fgets(line, sizeof line, pipe) != NULL;
  while (fgetc(pipe) != EOF) continue;
  bool done = pclose(pipe) == 0;
  line[strcspn(line, "\n")] = '\0';
  json_t *text = read && done && line[0] != '\0' ? json_string(line) : NULL;
  return text != NULL ? text : json_null();
}

static json_t *describe_report_tools(void) {
  return json_pack("{s:o, s:o}", "weasyprint", first_line_of("weasyprint --version 2>/dev/null"),
                   "chinese_font",
                   first_line_of("fc-list -f '%{family}\\n' :lang=zh-cn family "
                                 "2>/dev/null | LC_ALL=C sort | head -n 1"));
}

/* --- programs that models write --- */

/* {"works", "python", "why"}: found out by running one. */
static json_t *describe_sandbox(void) {
  zh_error err = ZH_ERROR_INIT, none = ZH_ERROR_INIT;
  const char *python = NULL;
  bool works = zh_judge_ready(&err) == ZH_OK;
  if (zh_sandbox_python(&python, &none) != ZH_OK) python = NULL;
  return json_pack("{s:b, s:o, s:o}", "works", works, "python",
                   python ? json_string(python) : json_null(), "why",
                   works ? json_null() : json_string(err.message));
}

/* --- what will be left out --- */

void zh_doctor_leave_out(json_t *list, const char *what, const char *why, const char *how) {
  json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", what, "why", why, "how", how));
}

static bool is_null(const json_t *object, const char *key) {
  return json_is_null(json_object_get(object, key));
}

static void leave_out_kernels(json_t *list) {
  zh_error err = ZH_ERROR_INIT;
  const char *missing = NULL;
  char what[64], how[96];
  if (zh_kernels_asked(&missing, &err) != ZH_OK || missing == NULL) return;
  snprintf(what, sizeof what, "the kernels '%s', which ZH_CPU asks for", missing);
  snprintf(how, sizeof how, "unset ZH_CPU; until then the kernels '%s' run",
           zh_kernels_best()->name);
  zh_doctor_leave_out(list, what, "this processor cannot run them", how);
}

static const char *string_of(const json_t *object, const char *key, const char *otherwise) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL && text[0] != '\0' ? text : otherwise;
}

static json_t *find_left_out(const json_t *machine, const json_t *tools, const json_t *sandbox,
                             const json_t *accelerators) {
  json_t *list = json_array();
  const json_t *mpi = json_object_get(machine, "mpi");
  const json_t *cpu = json_object_get(json_object_get(machine, "cpu"), "features");
  if (!json_is_true(json_object_get(cpu, "avx2_fma")) &&
      !json_is_true(json_object_get(cpu, "avx512"))) {
    zh_doctor_leave_out(
        list, "fast kernels and their peaks",
        "the processor has neither AVX2 with FMA nor AVX-512, or the system does not allow "
        "them",
        "the portable kernels run instead, slowly but correctly");
  }
  leave_out_kernels(list);
  zh_doctor_leave_out_gpus(list, machine, accelerators);
  if (!json_is_true(json_object_get(mpi, "module"))) {
    zh_doctor_leave_out(list, "runs with more than one rank",
                        "the module libzhiheng-mpi.so is not beside this program",
                        "build with ZH_ENABLE_MPI=ON (package libopenmpi-dev)");
  } else if (is_null(mpi, "mpirun") && is_null(mpi, "srun")) {
    zh_doctor_leave_out(list, "runs with more than one rank",
                        "neither mpirun nor srun is on the path", "apt-get install openmpi-bin");
  }
  if (!json_is_true(json_object_get(sandbox, "works"))) {
    zh_doctor_leave_out(list, "tasks whose answers are programs (humaneval, mbpp)",
                        string_of(sandbox, "why", "the reason is unknown"),
                        is_null(sandbox, "python")
                            ? "apt-get install python3"
                            : "run where user namespaces are allowed, outside a container perhaps");
  }
  if (is_null(tools, "weasyprint")) {
    zh_doctor_leave_out(list, "the report as PDF (HTML and JSON are written)",
                        "weasyprint is not on the path", "apt-get install weasyprint");
  }
  if (is_null(tools, "chinese_font")) {
    zh_doctor_leave_out(list, "Chinese characters in PDF and in pictures of pages",
                        "fontconfig knows no font with Chinese characters",
                        "apt-get install fonts-noto-cjk");
  }
  return list;
}

/* --- for people --- */

static long long int_of(const json_t *object, const char *key) {
  return (long long)json_integer_value(json_object_get(object, key));
}

/* "1.50 GiB": caches and memory are sold in powers of two. */
static const char *binary_bytes(char out[32], const json_t *bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  if (!json_is_integer(bytes)) return "unknown";
  double value = (double)json_integer_value(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
    value /= 1024;
    unit++;
  }
  snprintf(out, 32, "%.4g %s", value, units[unit]);
  return out;
}

static void print_cpu(const json_t *machine) {
  const json_t *cpu = json_object_get(machine, "cpu");
  printf("processor    %s%s\n", string_of(cpu, "model", "unknown"),
         json_is_true(json_object_get(cpu, "virtual")) ? " (virtual machine)" : "");
  printf("             %lld package%s, %lld cores, %lld threads, %lld of them allowed\n",
         int_of(cpu, "packages"), int_of(cpu, "packages") == 1 ? "" : "s", int_of(cpu, "cores"),
         int_of(cpu, "threads"), int_of(cpu, "allowed_threads"));
  printf("features    ");
  const char *name;
  json_t *value;
  bool any = false;
  json_object_foreach(json_object_get(cpu, "features"), name, value) {
    if (!json_is_true(value)) continue;
    printf(" %s", name);
    any = true;
  }
  printf("%s; kernels used: %s\n", any ? "" : " none of those zhiheng uses",
         string_of(cpu, "kernels", "unknown"));
}

static void print_memory(const json_t *machine) {
  char text[32], free_text[32];
  size_t i;
  json_t *item;
  printf("caches      ");
  json_array_foreach(json_object_get(machine, "caches"), i, item) {
    printf("%s L%lld %s × %lld", i > 0 ? "," : "", int_of(item, "level"),
           binary_bytes(text, json_object_get(item, "bytes")), int_of(item, "count"));
  }
  if (json_array_size(json_object_get(machine, "caches")) == 0) printf(" not shown by this system");
  printf("\n");
  json_array_foreach(json_object_get(machine, "numa"), i, item) {
    printf("NUMA node %lld  %s, threads %s\n", int_of(item, "node"),
           binary_bytes(text, json_object_get(item, "bytes")), string_of(item, "cpus", "none"));
  }
  const json_t *memory = json_object_get(machine, "memory");
  const json_t *limits = json_object_get(machine, "limits");
  printf("memory       %s, %s available", binary_bytes(text, json_object_get(memory, "bytes")),
         binary_bytes(free_text, json_object_get(memory, "available_bytes")));
  if (!is_null(limits, "memory_bytes")) {
    printf("; this control group may use %s",
           binary_bytes(text, json_object_get(limits, "memory_bytes")));
  }
  const json_t *huge = json_object_get(machine, "huge_pages");
  printf("\nhuge pages   transparent: %s; reserved: %lld of %s\n",
         string_of(huge, "transparent", "not offered"), int_of(huge, "reserved"),
         binary_bytes(text, json_object_get(huge, "size_bytes")));
}

static void print_rest(const json_t *machine, const json_t *tools, const json_t *sandbox,
                       const json_t *accelerators) {
  char text[32];
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(machine, "gpus"), i, item) {
    printf("GPU %lld        %s, %s, driver %s\n", int_of(item, "index"),
           string_of(item, "name", "unnamed"),
           binary_bytes(text, json_object_get(item, "memory_bytes")),
           string_of(item, "driver", "unknown"));
  }
  if (i == 0) printf("GPU          none: %s\n", string_of(machine, "gpu_note", "reason unknown"));
  zh_doctor_print_gpus(accelerators);
  const json_t *mpi = json_object_get(machine, "mpi");
  printf("MPI          module %s; mpirun: %s; srun: %s\n",
         json_is_true(json_object_get(mpi, "module")) ? "present" : "absent",
         string_of(mpi, "mpirun", "absent"), string_of(mpi, "srun", "absent"));
  printf("sandbox      %s\n", json_is_true(json_object_get(sandbox, "works"))
                                  ? "programs that models write can be run, by the system's Python"
                                  : "absent: programs that models write are not run");
  printf("reports      WeasyPrint: %s; Chinese font: %s\n",
         string_of(tools, "weasyprint", "absent"), string_of(tools, "chinese_font", "absent"));
}

static void print_left_out(const json_t *left_out) {
  size_t i;
  json_t *item;
  if (json_array_size(left_out) == 0) printf("\nNothing will be left out on this node.\n");
  json_array_foreach(left_out, i, item) {
    if (i == 0) printf("\nWill be left out on this node:\n");
    printf("  - %s\n      why: %s\n      how to have it: %s\n", string_of(item, "what", ""),
           string_of(item, "why", ""), string_of(item, "how", ""));
  }
}

static int run(int argc, char **argv) {
  bool json = false;
  zh_cli_parse(&doctor, argc, argv, &json);
  zh_error err = ZH_ERROR_INIT;
  json_t *machine = NULL;
  if (zh_machine_describe(&machine, &err) != ZH_OK) return zh_cli_fail(&err, json);
  json_t *accelerators = zh_doctor_gpus();
  json_t *tools = describe_report_tools();
  json_t *sandbox = describe_sandbox();
  json_t *left_out = find_left_out(machine, tools, sandbox, accelerators);
  if (json) {
    return zh_cli_print_json(json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o}", "version", ZH_VERSION, "machine", machine, "accelerators",
        accelerators, "report_tools", tools, "sandbox", sandbox, "left_out", left_out));
  }
  printf("zhiheng " ZH_VERSION " on %s, %s\n\n", string_of(machine, "hostname", "a nameless host"),
         string_of(json_object_get(machine, "system"), "distribution", "an unknown system"));
  print_cpu(machine);
  print_memory(machine);
  print_rest(machine, tools, sandbox, accelerators);
  print_left_out(left_out);
  json_decref(machine);
  json_decref(accelerators);
  json_decref(tools);
  json_decref(sandbox);
  json_decref(left_out);
  return zh_cli_flush();
}

const zh_command zh_command_doctor = {"doctor", "what this node has, and what will be left out",
                                      run};
