/* Faults of a shared library, asked for by the completion's text or by the symbol. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rewards/plugins/cohort_reward.h"

static int is(const cohort_reward_item* item, const char* text) {
  return strcmp(item->completion.bytes, text) == 0;
}

static int judge(void* state, const cohort_reward_batch* batch) {
  (void)state;
  for (size_t i = batch->num_items; i-- > 0;) { /* backwards: ids may come in any order */
    const cohort_reward_item* item = cohort_reward_item_at(batch, i);
    cohort_reward_score score = {.struct_size = sizeof score, .score = 1.0, .id = item->id};
    if (is(item, "crash")) *(volatile int*)8 = 1;
    if (is(item, "abort")) abort();
    if (is(item, "exit")) exit(5);
    if (is(item, "hang")) sleep(1000);
    if (is(item, "fail")) return 7;
    if (is(item, "silent")) continue;
    if (is(item, "nan")) score.score = NAN;
    if (is(item, "error")) score.verdict = COHORT_REWARD_ERROR;
    if (is(item, "noise")) (void)!write(1, "noise\n", 6);
    if (is(item, "small")) score.struct_size = 4;
    if (is(item, "components")) score.components.bytes = "{broken", score.components.size = 7;
    if (is(item, "twice")) batch->answer(batch->sink, &score);
    batch->answer(batch->sink, &score);
  }
  return 0;
}

const cohort_reward_plugin checker = {COHORT_REWARD_PLUGIN_HEAD, .judge = judge};
const cohort_reward_plugin from_the_future = {
    .abi_version = COHORT_REWARD_ABI_VERSION + 1, .struct_size = sizeof(cohort_reward_plugin), .judge = judge};
const cohort_reward_plugin too_small = {.abi_version = COHORT_REWARD_ABI_VERSION, .struct_size = 8, .judge = judge};
const cohort_reward_plugin no_judge = {COHORT_REWARD_PLUGIN_HEAD, .judge = NULL};
