/* Private to the room: the events of a contest. */
#ifndef ZH_EVALUATOR_COMPARE_EVENTS_H
#define ZH_EVALUATOR_COMPARE_EVENTS_H

#include "evaluator/compare/contest.h"

ZH_MUST_CHECK zh_status zh_events_find(zh_contest *contest, zh_error *err);
void zh_event_clear(zh_event *event);

#endif
