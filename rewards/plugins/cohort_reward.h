/* A reward checker in a shared library: C99, no other header of Cohort's, no dependency.
 *
 *   #include <cohort_reward.h>
 *   static int judge(void* state, const cohort_reward_batch* batch) { ... batch->answer(batch->sink, &score) ... }
 *   const cohort_reward_plugin my_checker = {COHORT_REWARD_PLUGIN_HEAD, .judge = judge};
 *
 *   cc -shared -fPIC -o my_checker.so my_checker.c
 *   cohort score --reward lib:./my_checker.so:my_checker --in rows.jsonl
 *
 * The library is loaded by a process of its own, one batch at a time and in one thread; several such processes may run.
 * `answer` may be called from any thread until `judge` returns.
 * Texts are UTF-8, end with a NUL and may hold others. What the host gives lives until `judge` returns; what `answer`
 * is given is copied before it returns. Fields are only ever added at the end, and every struct that may grow says its
 * size, so a library goes on working under a newer host of the same ABI version. */
#ifndef COHORT_REWARD_H
#define COHORT_REWARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COHORT_REWARD_ABI_VERSION 1

typedef struct cohort_reward_text {
  const char* bytes;
  size_t size;
} cohort_reward_text;

typedef struct cohort_reward_item {
  cohort_reward_text id;           /* goes back with the score */
  cohort_reward_text prompt;       /* text; of a chat: JSON list of {"role", "content"} */
  cohort_reward_text completion;   /* text */
  cohort_reward_text ground_truth; /* the reference answer; JSON where the row's is no text; empty without one */
  cohort_reward_text data_source;  /* of the row, or empty */
  cohort_reward_text extra;        /* JSON object: the row's other columns */
  const int32_t* completion_ids;
  size_t num_completion_ids;
  int32_t prompt_is_chat;
  int32_t reserved;
  int64_t step; /* optimizer steps of the run so far; 0 outside of training */
} cohort_reward_item;

enum {
  COHORT_REWARD_SCORED = 0,   /* by `score`: 1 and more is correct, 0 and less wrong, else partial */
  COHORT_REWARD_NO_SCORE = 1, /* this reward does not apply; `score` is not read */
  COHORT_REWARD_ERROR = 2     /* the checker failed: no score, and the reason is reported */
};

typedef struct cohort_reward_score {
  uint32_t struct_size; /* sizeof(cohort_reward_score) */
  int32_t verdict;      /* one of the above */
  double score;         /* finite */
  cohort_reward_text id;
  cohort_reward_text reason;     /* one line, or empty */
  cohort_reward_text components; /* JSON object of numbers, or empty */
  cohort_reward_text extra_logs; /* JSON object, or empty */
} cohort_reward_score;

typedef struct cohort_reward_batch {
  uint32_t abi_version; /* of the host */
  uint32_t struct_size; /* of this struct, as the host has it */
  size_t num_items;
  size_t item_size; /* bytes from one item to the next: use cohort_reward_item_at */
  const cohort_reward_item* items;
  double seconds_per_item; /* the deadline; who passes it is killed */
  void* sink;
  void (*answer)(void* sink, const cohort_reward_score* score); /* once for each item, in any order */
} cohort_reward_batch;

/* What SYMBOL names. */
typedef struct cohort_reward_plugin {
  uint32_t abi_version;       /* COHORT_REWARD_ABI_VERSION */
  uint32_t struct_size;       /* sizeof(cohort_reward_plugin) */
  void* (*open)(void);        /* once in a process, before the first batch; may be NULL */
  void (*close)(void* state); /* at an orderly end; may be NULL */
  int (*judge)(void* state, const cohort_reward_batch* batch); /* 0, or not 0 when the batch has failed */
} cohort_reward_plugin;

/* The first two fields of a plug-in; others follow by name (C99, C++20). */
#define COHORT_REWARD_PLUGIN_HEAD .abi_version = COHORT_REWARD_ABI_VERSION, .struct_size = sizeof(cohort_reward_plugin)

static inline const cohort_reward_item* cohort_reward_item_at(const cohort_reward_batch* batch, size_t index) {
  return (const cohort_reward_item*)(const void*)((const char*)batch->items + index * batch->item_size);
}

#ifdef __cplusplus
}
#endif

#endif /* COHORT_REWARD_H */
