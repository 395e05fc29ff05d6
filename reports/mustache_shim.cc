#include "reports/mustache_shim.h"

// The library's header is not ours to mend.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <kainjow/mustache.hpp>
#pragma GCC diagnostic pop

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "core/text.h"

namespace {

using kainjow::mustache::data;
using kainjow::mustache::mustache;

data from_json(const json_t *value) {
  switch (json_typeof(value)) {
  case JSON_OBJECT: {
    data object{data::type::object};
    const char *key;
    json_t *member;
    json_object_foreach(const_cast<json_t *>(value), key, member)
        object.set(key, from_json(member));
    return object;
  }
  case JSON_ARRAY: {
    data list{data::type::list};
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) list.push_back(from_json(item));
    return list;
  }
  case JSON_STRING:
    return data{std::string(json_string_value(value), json_string_length(value))};
  case JSON_TRUE:
    return data{data::type::bool_true};
  default: // numbers have been formatted by now; null and false hide their section
    return data{data::type::bool_false};
  }
}

// Looks names up as mustache does, and remembers the first that was not there.
class strict_context : public kainjow::mustache::context<std::string> {
public:
  strict_context(const data *model, const zh_partial *partials, size_t count)
      : context(model), partials_{data::type::object} {
    for (size_t i = 0; i < count; i++) partials_.set(partials[i].name, data{partials[i].text});
  }
  const data *get(const std::string &name) const override {
    const data *found = context::get(name);
    if (!found && missing_.empty()) missing_ = name;
    return found;
  }
  const data *get_partial(const std::string &name) const override {
    const data *found = partials_.get(name);
    if (!found && missing_.empty()) missing_ = "> " + name;
    return found;
  }
  const std::string &missing() const { return missing_; }

private:
  data partials_;
  mutable std::string missing_;
};

// Control characters and the marks that reverse or hide text have no business on a page: a model
// named with them could make a verdict read otherwise.
bool is_deceptive(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
         c == 0xfffe || c == 0xffff;
}

std::string escape(const std::string &text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (size_t at = 0; at < text.size();) {
    uint32_t c = 0;
    int length = zh_utf8_decode(&c, text.data() + at, text.size() - at);
    if (c == '\n' || c == '\t') {
      out += ' ';
      at++;
      continue;
    }
    if (length == 0 || is_deceptive(c)) {
      out += "\xEF\xBF\xBD";
      at += length > 0 ? static_cast<size_t>(length) : 1;
      continue;
    }
    switch (c) {
    case '&':
      out += "&amp;";
      break;
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '"':
      out += "&quot;";
      break;
    case '\'':
      out += "&#39;";
      break;
    default:
      out.append(text, at, static_cast<size_t>(length));
    }
    at += static_cast<size_t>(length);
  }
  return out;
}

// What Markdown would take for the edge of a table, a link or emphasis; entities stay as they are.
std::string escape_markdown(const std::string &text) {
  std::string out;
  for (const char c : escape(text)) {
    const bool special = std::strchr("|[]*`\\", c) != nullptr && c != '\0';
    out += special ? "&#" + std::to_string(static_cast<int>(c)) + ";" : std::string(1, c);
  }
  return out;
}

zh_status render(char **out, zh_escape how, const char *name, const char *text,
                 const json_t *model,
                 const zh_partial *partials, size_t partial_count, zh_error *err) {
  if (std::strstr(text, "{{{") || std::strstr(text, "{{&"))
    return zh_fail(err, ZH_ERR_INPUT, "%s: an unescaped tag; write {{name}}", name);
  mustache page{std::string(text)};
  if (!page.is_valid())
    return zh_fail(err, ZH_ERR_INPUT, "%s: %s (byte)", name, page.error_message().c_str());
  page.set_custom_escape(how == ZH_ESCAPE_MARKDOWN ? escape_markdown : escape);
  const data values = from_json(model);
  strict_context context{&values, partials, partial_count};
  const std::string result = page.render(context);
  if (!page.is_valid())
    return zh_fail(err, ZH_ERR_INPUT, "%s: %s", name, page.error_message().c_str());
  if (!context.missing().empty())
    return zh_fail(err, ZH_ERR_INPUT, "%s: the tag {{%s}} has no value in the page's model", name,
                   context.missing().c_str());
  *out = strdup(result.c_str());
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory while rendering %s", name);
}

} // namespace

extern "C" zh_status zh_mustache_render_as(char **out, zh_escape how, const char *name,
                                           const char *text, const json_t *model,
                                           const zh_partial *partials, size_t partial_count,
                                           zh_error *err) {
  *out = nullptr;
  try {
    return render(out, how, name, text, model, partials, partial_count, err);
  } catch (const std::bad_alloc &) {
    return zh_fail(err, ZH_ERR_MEMORY, "out of memory while rendering %s", name);
  } catch (const std::exception &e) {
    return zh_fail(err, ZH_ERR_INPUT, "%s: %s", name, e.what());
  }
}

extern "C" zh_status zh_mustache_render(char **out, const char *name, const char *text,
                                        const json_t *model, const zh_partial *partials,
                                        size_t partial_count, zh_error *err) {
  return zh_mustache_render_as(out, ZH_ESCAPE_HTML, name, text, model, partials, partial_count,
                               err);
}
