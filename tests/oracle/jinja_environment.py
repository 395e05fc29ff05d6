"""Jinja's environments as chat templates and task files are rendered with them."""
import datetime
import json

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """{% generation %}: a call block that changes nothing, but has names of its own."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def chat(now=0, optimized=True):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, optimized=optimized, extensions=[loopcontrols, Generation])
    environment.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda format: datetime.datetime.fromtimestamp(now).strftime(format)
    return environment


def tasks(optimized=True):
    """Task files are trusted by the harness that reads them; here they get the sandbox all the same. The tags of chat
    templates are known here, too."""
    return ImmutableSandboxedEnvironment(optimized=optimized, undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
                                         extensions=[loopcontrols, Generation])


def render(environment, template, variables, compiled={}):
    """(text, None) or (None, why)."""
    try:
        key = id(environment), template
        if key not in compiled:
            compiled[key] = environment.from_string(template)
        return compiled[key].render(**variables), None
    except Exception as problem:
        return None, f"{type(problem).__name__}: {problem}"
