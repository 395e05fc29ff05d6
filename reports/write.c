/* A report's folder: staged beside its place, then renamed in one step. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/digest.h"
#include "core/files.h"
#include "core/manifest.h"
#include "core/progress.h"
#include "reports/pdf.h"
#include "reports/render.h"
#include "reports/reports.h"

enum { EVALUATION_MAX_BYTES = 64 << 20 };

static zh_status join(char out[PATH_MAX], const char *folder, const char *name, zh_error *err) {
  if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "%s/%s: the path is too long", folder, name);
  return ZH_OK;
}

/* --- where it goes --- */

/* Without slashes at its end, which rename and dirname would trip over. */
static zh_status choose_folder(char out[PATH_MAX], const zh_report_options *options,
                               zh_error *err) {
  char copy[PATH_MAX];
  if (options->out) {
    size_t length = strlen(options->out);
    while (length > 1 && options->out[length - 1] == '/') length--;
    if (length == 0 || length >= PATH_MAX)
      return zh_fail(err, ZH_ERR_USAGE, "the report needs a folder name of at most %d bytes",
                     PATH_MAX - 1);
    memcpy(out, options->out, length);
    out[length] = '\0';
    return ZH_OK;
  }
  if (snprintf(copy, sizeof copy, "%s", options->evaluation) >= (int)sizeof copy)
    return zh_fail(err, ZH_ERR_INPUT, "%s: the path is too long", options->evaluation);
  return join(out, dirname(copy), "report", err);
}

static bool is_our_file(const char *name) {
  static const char *const names[] = {"report.zh.html", "report.en.html",  "report.zh.pdf",
                                      "report.en.pdf",  "evaluation.json", ZH_MANIFEST_NAME};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

/* Only a folder that a report made, with nothing else in it, is ever replaced. */
static zh_status check_replaceable(bool *exists, const char *folder, zh_error *err) {
  struct stat info;
  zh_file_list list = {0};
  *exists = lstat(folder, &info) == 0;
  if (!*exists) return ZH_OK;
  if (!S_ISDIR(info.st_mode))
    return zh_fail(err, ZH_ERR_USAGE, "%s exists and is not a folder; name another with --out",
                   folder);
  ZH_TRY(zh_list_files(&list, folder, err));
  bool manifest = false, page = false;
  const char *foreign = NULL;
  for (size_t i = 0; i < list.count; i++) {
    manifest = manifest || strcmp(list.paths[i], ZH_MANIFEST_NAME) == 0;
    page = page || strncmp(list.paths[i], "report.", 7) == 0;
    if (!foreign && !is_our_file(list.paths[i])) foreign = list.paths[i];
  }
  zh_status status = ZH_OK;
  if (foreign)
    status =
        zh_fail(err, ZH_ERR_USAGE,
                "%s exists and holds %s, which no report wrote; name another folder with --out",
                folder, foreign);
  else if (list.count > 0 && !(manifest && page))
    status = zh_fail(err, ZH_ERR_USAGE,
                     "%s exists and is not a report; name another folder with --out", folder);
  zh_file_list_free(&list);
  return status;
}

/* --- what goes in --- */

/* "2026-11-21T10:10:47Z" of the latest run: the PDF's date, so that the same evaluation gives the
 * same bytes. */
static int64_t epoch_of(const json_t *evaluation) {
  const json_t *bundles = json_object_get(evaluation, "bundle");
  int64_t latest = 0;
  for (size_t i = 0; i < json_array_size(bundles); i++) {
    const json_t *run = json_object_get(json_array_get(bundles, i), "run");
    const char *finished = json_string_value(json_object_get(run, "finished_utc"));
    struct tm when = {0};
    if (!finished || !strptime(finished, "%Y-%m-%dT%H:%M:%SZ", &when)) continue;
    int64_t epoch = timegm(&when);
    if (epoch > latest) latest = epoch;
  }
  return latest;
}

static zh_status write_html(const char *stage, const json_t *evaluation, const char *digest,
                            const char *language, zh_error *err) {
  char name[32], path[PATH_MAX], *html = NULL;
  snprintf(name, sizeof name, "report.%s.html", language);
  ZH_TRY(join(path, stage, name, err));
  ZH_TRY(zh_render_html(&html, evaluation, digest, language, err));
  zh_status status = zh_write_file(path, html, strlen(html), err);
  free(html);
  return status;
}

/* One language's PDF, printed by a thread of its own: WeasyPrint takes seconds and a core. */
typedef struct pdf_job {
  const char *stage, *language;
  int64_t epoch;
  zh_error error;
  zh_status status;
  pthread_t thread;
  bool started;
} pdf_job;

static void *print_pdf(void *user) {
  pdf_job *job = user;
  char name[32], html[PATH_MAX], pdf[PATH_MAX], attachment[PATH_MAX];
  snprintf(name, sizeof name, "report.%s.html", job->language);
  job->status = join(html, job->stage, name, &job->error);
  snprintf(name, sizeof name, "report.%s.pdf", job->language);
  if (job->status == ZH_OK) job->status = join(pdf, job->stage, name, &job->error);
  if (job->status == ZH_OK)
    job->status = join(attachment, job->stage, "evaluation.json", &job->error);
  if (job->status == ZH_OK)
    job->status =
        zh_pdf_print(pdf, html, attachment, job->epoch, ZH_PDF_TIMEOUT_SECONDS, &job->error);
  return NULL;
}

/* A report without PDF is still a report: failure becomes the reason in words. */
static void write_pdfs(zh_report_result *out, const char *stage, const char *const *languages,
                       size_t count, int64_t epoch) {
  pdf_job jobs[2] = {0};
  for (size_t i = 0; i < count; i++) {
    jobs[i] =
        (pdf_job){.stage = stage, .language = languages[i], .epoch = epoch, .error = ZH_ERROR_INIT};
    jobs[i].started = pthread_create(&jobs[i].thread, NULL, print_pdf, &jobs[i]) == 0;
    if (!jobs[i].started) print_pdf(&jobs[i]);
  }
  for (size_t i = 0; i < count; i++) {
    if (jobs[i].started) pthread_join(jobs[i].thread, NULL);
    out->pdf_written = out->pdf_written || jobs[i].status == ZH_OK;
    if (jobs[i].status != ZH_OK && !out->pdf_reason[0])
      snprintf(out->pdf_reason, sizeof out->pdf_reason, "%.255s", jobs[i].error.message);
  }
}

static zh_status fill(zh_report_result *out, const char *stage, const char *text, size_t length,
                      const zh_report_options *options, zh_error *err) {
  static const char *const both[] = {"zh", "en"};
  const char *const *languages = options->language ? &options->language : both;
  size_t count = options->language ? 1 : 2;
  char path[PATH_MAX], digest[ZH_DIGEST_HEX];
  json_t *evaluation = NULL;
  ZH_TRY(join(path, stage, "evaluation.json", err));
  ZH_TRY(zh_digest_bytes(digest, ZH_SM3, text, length, err));
  ZH_TRY(zh_json_load_text(&evaluation, text, length, options->evaluation, err));
  zh_status status = zh_write_file(path, text, length, err);
  for (size_t i = 0; i < count && status == ZH_OK; i++)
    status = write_html(stage, evaluation, digest, languages[i], err);
  if (status == ZH_OK && options->pdf)
    write_pdfs(out, stage, languages, count, epoch_of(evaluation));
  json_decref(evaluation);
  return status == ZH_OK ? zh_manifest_write(stage, err) : status;
}

/* --- into place --- */

/* Exchanges the names where something stands already, so that no moment is without a report. */
static zh_status move_into_place(const char *stage, const char *folder, bool exists,
                                 zh_error *err) {
  if (!exists && rename(stage, folder) == 0) return ZH_OK;
  if (exists && renameat2(AT_FDCWD, stage, AT_FDCWD, folder, RENAME_EXCHANGE) == 0)
    return zh_remove_tree(stage, err);
  if (exists && (errno == EINVAL || errno == ENOSYS)) { /* a file system that cannot exchange */
    ZH_TRY(zh_remove_tree(folder, err));
    if (rename(stage, folder) == 0) return ZH_OK;
  }
  return zh_fail(err, ZH_ERR_IO, "%s: the finished report could not be moved here: %s", folder,
                 strerror(errno));
}

zh_status zh_report_write(zh_report_result *out, const zh_report_options *options, zh_error *err) {
  char folder[PATH_MAX], parent[PATH_MAX], stage[PATH_MAX], *text = NULL;
  size_t length = 0;
  bool exists = false, staged = false;
  *out = (zh_report_result){0};
  if (options->language && strcmp(options->language, "zh") != 0 &&
      strcmp(options->language, "en") != 0)
    return zh_fail(err, ZH_ERR_USAGE, "reports are written in zh or en, not '%.32s'",
                   options->language);
  ZH_TRY(choose_folder(folder, options, err));
  ZH_TRY(zh_read_file(&text, &length, options->evaluation, EVALUATION_MAX_BYTES, err));
  zh_status status = check_replaceable(&exists, folder, err);
  if (status != ZH_OK) goto done;
  snprintf(parent, sizeof parent, "%s", folder);
  if ((status = zh_make_dirs(dirname(parent), err)) != ZH_OK) goto done;
  if (snprintf(stage, sizeof stage, "%s.XXXXXX", folder) >= (int)sizeof stage || !mkdtemp(stage)) {
    status =
        zh_fail(err, ZH_ERR_IO, "%s: no folder can be made beside it: %s", folder, strerror(errno));
    goto done;
  }
  staged = true;
  status = fill(out, stage, text, length, options, err);
  if (status == ZH_OK && chmod(stage, 0755) != 0)
    status = zh_fail(err, ZH_ERR_IO, "%s: %s", stage, strerror(errno));
  if (status == ZH_OK) status = move_into_place(stage, folder, exists, err);
  if (status == ZH_OK) {
    staged = false;
    snprintf(out->folder, sizeof out->folder, "%s", folder);
  }
done:
  if (staged && zh_remove_tree(stage, NULL) != ZH_OK) zh_warn("%s was left behind", stage);
  free(text);
  return status;
}
