#include "distill/sft.h"

#include <algorithm>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/progress.h"
#include "grpo/checkpoint.h"
#include "grpo/report/report.h"
#include "policy/peft.h"
#include "policy/save.h"
#include "policy/text/chat_template.h"
#include "tasks/task_set.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

size_t common_beginning(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return size_t(std::ranges::mismatch(a, b).in1 - a.begin());
}

/// The ids that follow those of a prompt. Where tokens of both together would reach across its end, those that follow a
/// line break: at the beginning of a text many tokenizers put a space.
std::vector<int32_t> encode_completion(const Tokenizer& tokenizer, const std::string& prompt,
                                       const std::string& completion) {
  for (const std::string& before : {prompt, std::string("\n")}) {
    const std::vector<int32_t> ids = tokenizer.encode(before), both = tokenizer.encode(before + completion);
    if (common_beginning(ids, both) == ids.size()) return {both.begin() + std::ptrdiff_t(ids.size()), both.end()};
  }
  return tokenizer.encode(completion);
}

SftSequence encode_plain(const Tokenizer& tokenizer, const SftRow& row) {
  SftSequence s;
  s.tokens = tokenizer.encode(row.prompt, true);
  s.mask.assign(s.tokens.size(), 0);
  std::vector<int32_t> completion = encode_completion(tokenizer, row.prompt, row.completion);
  const std::optional<int32_t> eos = tokenizer.special_tokens().eos;
  if (eos && (completion.empty() || completion.back() != *eos)) completion.push_back(*eos);
  s.tokens.insert(s.tokens.end(), completion.begin(), completion.end());
  s.mask.resize(s.tokens.size(), 1);
  return s;
}

/// Where the last message of a chat begins, which has these ids: behind what it has in common with the prompt that asks
/// for it. At their end where the template renders earlier messages otherwise in that prompt.
size_t begin_of_turn(const Tokenizer& tokenizer, Json messages, const std::string& chat,
                     const std::vector<int32_t>& ids) {
  messages.erase(messages.size() - 1);
  const std::vector<int32_t> prompt = tokenizer.encode(render_chat(tokenizer, messages, true));
  const size_t begin = common_beginning(prompt, ids);
  const bool is_asked_so = begin == prompt.size() || chat.starts_with(render_chat(tokenizer, messages, false));
  return is_asked_so ? begin : ids.size();
}

/// Learns what each assistant turn adds to the prompt that asks for it, where it still stands so in the whole chat:
/// templates may leave out of a turn (its reasoning) once others follow.
SftSequence encode_chat(const Tokenizer& tokenizer, const SftRow& row) {
  SftSequence s;
  Json messages = Json::array();
  for (size_t i = 0; i < row.messages.size(); ++i) {
    const bool learned = row.messages[i].role == "assistant" && i >= row.first_loss_message;
    messages.push_back({{"role", row.messages[i].role}, {"content", row.messages[i].content}});
    if (!learned && i + 1 < row.messages.size()) continue;
    const std::string chat = render_chat(tokenizer, messages, false);
    std::vector<int32_t> ids = tokenizer.encode(chat);
    s.mask.resize(common_beginning(s.tokens, ids));
    s.mask.resize(learned ? begin_of_turn(tokenizer, messages, chat, ids) : ids.size(), 0);
    s.mask.resize(ids.size(), learned ? 1 : 0);
    s.tokens = std::move(ids);
  }
  return s;
}

struct Job {
  Job(const SftConfig& c, Run opened)
      : config(c),
        rows(open_sft_set(c.tasks, c.seed)),
        run(std::move(opened)),
        compute(c.threads ? c.threads : usable_cores()),
        loaded(load_to_learn(c.model, compute, c.bf16, c.lora, c.seed)),
        learner(loaded.model, compute, c.optimizer, 1.0, c.mtp_loss_weight) {
    extend_rope(loaded.model, std::min(c.max_length, loaded.model.spec.max_position));
  }
  const SftConfig& config;
  SftSet rows;
  Run run;
  Compute compute;
  LoadedModel loaded;
  Learner learner;
  int64_t num_tokens = 0;
  double seconds = 0;
};

void resume(Job& job) {
  if (!job.run.checkpoint) return;
  RunState state = load_checkpoint(*job.run.checkpoint, job.learner, job.loaded.model, job.compute, nullptr);
  try {
    job.rows.restore(state.cursor);
    job.num_tokens = state.counters.at("num_tokens"), job.seconds = state.counters.at("seconds");
  } catch (const Json::exception& error) {
    refuse_state(*job.run.checkpoint, error);
  }
}

void checkpoint(Job& job) {
  RunState state{.step = job.learner.step(),
                 .cursor = job.rows.state(),
                 .counters = {{"num_tokens", job.num_tokens}, {"seconds", job.seconds}},
                 .config = job.run.config};
  save_checkpoint(job.run.folder, job.learner, job.loaded.model, job.loaded.tokenizer.get(), state, nullptr);
  limit_checkpoints(job.run.folder, job.config.save_total_limit);
}

/// One optimizer step; the metrics row without times.
Json learn(Job& job) {
  std::vector<SftSequence> sequences;
  for (const SftRow& row : job.rows.next(job.config.rows_per_step))
    sequences.push_back(
        encode_row(*job.loaded.tokenizer, row, std::min(job.config.max_length, job.loaded.model.spec.max_position)));
  LossScale scale;
  for (const SftSequence& s : sequences) {
    for (size_t i = 1; i < s.mask.size(); ++i) scale.num_tokens += s.mask[i];
    job.num_tokens += int64_t(s.tokens.size());
  }
  if (scale.num_tokens == 0)
    throw UsageError("step " + std::to_string(job.learner.step() + 1) + ": all " + std::to_string(sequences.size()) +
                     " rows are cut before their completion begins (max_length " +
                     std::to_string(job.config.max_length) + ", the model's context " +
                     std::to_string(job.loaded.model.spec.max_position) + "): raise max_length");
  std::vector<MicroBatch> batches = pack_sequences(sequences, job.config.pack);
  StepStats stats = job.learner.step(
      batches,
      [&](const TokenBatch& batch, const TokenGradient& d) { return cross_entropy_loss(batch, scale, d.logprobs); },
      job.config.max_steps);
  Json row = {{"step", job.learner.step()},
              {"loss", stats.sums.loss},
              {"entropy", stats.sums.entropy / std::max(1.0, stats.sums.tokens)},
              {"grad_norm", stats.grad_norm},
              {"learning_rate", stats.learning_rate},
              {"num_tokens", job.num_tokens},
              {"learner_tokens", stats.learner_tokens}};
  if (job.config.mtp_loss_weight != 0) row["mtp_loss"] = stats.mtp_loss;
  return row;
}

}  // namespace

void expect_runnable(const SftConfig& config, const std::string& model) {
  const ModelSpec spec = load_spec(model);
  expect_consistent(config.lora, config.optimizer, config.mtp_loss_weight);
  expect_mtp(spec, config.mtp_loss_weight), expect_targets(spec, config.lora), expect_tokenizer(model);
  open_sft_set(config.tasks, config.seed);
}

SftSequence encode_row(const Tokenizer& tokenizer, const SftRow& row, int32_t max_length) {
  SftSequence s = row.messages.empty() ? encode_plain(tokenizer, row) : encode_chat(tokenizer, row);
  if (s.tokens.size() > size_t(max_length)) s.tokens.resize(size_t(max_length)), s.mask.resize(size_t(max_length));
  return s;
}

TrainResult sft(const SftConfig& config, const RunRequest& request) {
  watch_interrupts();
  return sft(config, open_run(request, dump_config(config), read_stored_config<SftConfig>));
}

TrainResult sft(const SftConfig& config, Run run) {
  Job job(config, std::move(run));
  resume(job);
  TrainResult result{.final_folder = job.run.folder / "final"};
  auto summed = [&] { return result.seconds = job.seconds, result.tokens = job.num_tokens, result; };
  if (job.run.is_over || (job.run.finished && job.learner.step() >= config.max_steps)) return summed();
  if (interrupted())
    throw Interrupted("interrupted before the first step, nothing to save: go on with the same command and --resume");
  begin_run(job.run, job.learner.step());
  RunMetrics metrics(job.run.folder, job.learner.step());
  Progress progress("tuning", "steps", config.max_steps, job.learner.step());
  while (job.learner.step() < config.max_steps) {
    Clock clock;
    Json row = learn(job);
    double seconds = clock.lap();
    job.seconds += seconds;
    row["step_time"] = seconds;
    metrics.log(row);
    progress.update(job.learner.step(), "loss " + std::to_string(row["loss"].get<double>()).substr(0, 6));
    bool stop = interrupted(), last = job.learner.step() == config.max_steps;
    if (stop || last || (config.save_steps > 0 && job.learner.step() % config.save_steps == 0)) checkpoint(job);
    if (stop && !last)
      throw Interrupted("interrupted at step " + std::to_string(job.learner.step()) +
                        ", a checkpoint is written: go on with the same command and --resume");
  }
  progress.finish();
  limit_checkpoints(job.run.folder, config.save_total_limit);  // a kill may have come between
  fs::path folders[] = {job.run.folder};
  write_report(folders, job.run.folder / "report.html");
  write_folder_durably(job.run.folder / "final", [&](const fs::path& folder) {
    save_model(job.loaded.model, job.loaded.tokenizer.get(), folder);
  });
  return summed();
}

}  // namespace cohort
