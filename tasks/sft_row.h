// A row of supervised tuning: a chat, or a plain prompt and its completion.
#pragma once
#include <string>

#include "tasks/task.h"

namespace cohort {

struct SftRow {
  std::string id;
  Messages messages;              // a chat; empty for a plain row
  size_t first_loss_message = 0;  // the loss covers the assistant turns from this message on
  std::string prompt;             // of a plain row
  std::string completion;         // of a plain row: all of it is covered by the loss
  Json extra = Json::object();    // every other column
};

/// {"id", "messages"} or {"id", "prompt", "completion"}, and the columns of extra.
Json to_json(const SftRow& row);

}  // namespace cohort
