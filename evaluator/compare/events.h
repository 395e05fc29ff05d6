/* Private to the room: the events of a contest. */
#ifndef ZH_EVALUATOR_COMPARE_EVENTS_H
#define ZH_EVALUATOR_COMPARE_EVENTS_H

#include "evaluator/compare/contest.h"

ZH_MUST_CHECK zh_status zh_events_find(zh_contest *contest, zh_error *err);
/* Whether a task is one of all together: of shares, and two models at least can be compared. */
bool zh_event_counts(const zh_event *event);
void zh_event_clear(zh_event *event);

#endif
