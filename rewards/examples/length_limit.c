/* A checker in C: 1 for a completion of at most 200 bytes, falling to 0 at 400. The row's column "limit", where there
 * is one, is for the reader to parse out of item->extra with a JSON library of choice. cc -shared -fPIC -I INCLUDE_DIR
 * -o length_limit.so length_limit.c cohort score --reward lib:./length_limit.so:length_limit --in rows.jsonl */
#include <stdio.h>
#include <string.h>

#include <cohort_reward.h>

static cohort_reward_text text_of(const char* bytes) {
  cohort_reward_text text = {bytes, strlen(bytes)};
  return text;
}

static int judge(void* state, const cohort_reward_batch* batch) {
  (void)state;
  for (size_t i = 0; i < batch->num_items; ++i) {
    const cohort_reward_item* item = cohort_reward_item_at(batch, i);
    const double size = (double)item->completion.size;
    char reason[64];
    snprintf(reason, sizeof reason, "%zu bytes", item->completion.size);
    cohort_reward_score score = {.struct_size = sizeof score, .verdict = COHORT_REWARD_SCORED, .id = item->id};
    score.score = size <= 200 ? 1.0 : size >= 400 ? 0.0 : (400 - size) / 200;
    score.reason = text_of(reason);
    batch->answer(batch->sink, &score);
  }
  return 0;
}

const cohort_reward_plugin length_limit = {COHORT_REWARD_PLUGIN_HEAD, .judge = judge};
