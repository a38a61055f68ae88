#include "distill/sft.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/progress.h"
#include "grpo/checkpoint.h"
#include "grpo/report/report.h"
#include "grpo/train_metrics.h"
#include "policy/peft.h"
#include "policy/save.h"
#include "policy/text/chat_template.h"
#include "tasks/split.h"

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

/// What all sources have together; none where one has no end.
std::optional<int64_t> rows_of_an_epoch(const SftSet& rows) {
  int64_t sum = 0;
  for (const Stream<SftRow>& stream : rows.streams()) {
    if (!stream.size) return std::nullopt;
    sum += *stream.size;
  }
  return sum;
}

std::vector<SftRow> read_held_out(const SftConfig& config) {
  std::vector<SftRow> all;
  for (const TaskSource& source : config.eval_tasks) {
    const std::vector<SftRow> rows = read_sft_rows(source);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

struct Job {
  Job(const SftConfig& c, SftSet opened_rows, Run opened)
      : config(c),
        rows(std::move(opened_rows)),
        num_rows(rows_of_an_epoch(rows)),
        max_steps(num_steps(c, rows)),
        eval_rows(read_held_out(c)),
        run(std::move(opened)),
        compute(c.threads ? c.threads : usable_cores()),
        loaded(load_to_learn(c.model, compute, c.bf16, c.lora, c.seed)),
        learner(loaded.model, compute, c.optimizer, 1.0, c.mtp_loss_weight) {
    extend_rope(loaded.model, std::min(c.max_length, loaded.model.spec.max_position));
  }
  const SftConfig& config;
  SftSet rows;
  std::optional<int64_t> num_rows;  // of an epoch
  int64_t max_steps;
  std::vector<SftRow> eval_rows;
  Run run;
  Compute compute;
  LoadedModel loaded;
  Learner learner;
  int64_t num_tokens = 0;
  double seconds = 0;
  std::vector<MicroBatch> eval_batches;
  LossScale eval_scale;
  BestStep best;

  int64_t step() const { return learner.step(); }
  bool is_over() const { return step() >= max_steps; }
};

void resume(Job& job) {
  if (!job.run.checkpoint) return;
  RunState state = load_checkpoint(*job.run.checkpoint, job.learner, job.loaded.model, job.compute, nullptr);
  try {
    job.rows.restore(state.cursor);
    job.num_tokens = state.counters.at("num_tokens"), job.seconds = state.counters.at("seconds");
    job.best = {state.counters.value("best_step", int64_t(0)), state.counters.value("best_loss", 0.0)};
  } catch (const Json::exception& error) {
    refuse_state(*job.run.checkpoint, error);
  }
  job.best = best_that_stands(job.run.folder, job.best);
}

void checkpoint(Job& job) {
  RunState state{.step = job.step(),
                 .cursor = job.rows.state(),
                 .counters = {{"num_tokens", job.num_tokens},
                              {"seconds", job.seconds},
                              {"best_step", job.best.step},
                              {"best_loss", job.best.value}},
                 .config = job.run.config};
  save_checkpoint(job.run.folder, job.learner, job.loaded.model, job.loaded.tokenizer.get(), state, nullptr);
  name_best_checkpoint(job.run.folder, job.best, "eval/loss");
  limit_checkpoints(job.run.folder, job.config.save_total_limit, job.best.step);
}

/// Rows as ids, and how many tokens of them are learned.
std::vector<SftSequence> encode_rows(const Job& job, std::span<const SftRow> rows, LossScale& scale) {
  const int32_t length = std::min(job.config.max_length, job.loaded.model.spec.max_position);
  std::vector<SftSequence> sequences;
  for (const SftRow& row : rows) {
    const SftSequence& s = sequences.emplace_back(encode_row(*job.loaded.tokenizer, row, length));
    for (size_t i = 1; i < s.mask.size(); ++i) scale.num_tokens += s.mask[i];
  }
  return sequences;
}

void expect_learned_tokens(const Job& job, const LossScale& scale, const std::string& where, size_t num_rows) {
  if (scale.num_tokens == 0)
    throw UsageError(where + ": all " + std::to_string(num_rows) +
                     " rows are cut before their completion begins (max_length " +
                     std::to_string(job.config.max_length) + ", the model's context " +
                     std::to_string(job.loaded.model.spec.max_position) + "): raise max_length");
}

/// One optimizer step; the metrics row without times.
Json learn(Job& job) {
  LossScale scale;
  const std::vector<SftSequence> sequences = encode_rows(job, job.rows.next(job.config.rows_per_step), scale);
  expect_learned_tokens(job, scale, "step " + std::to_string(job.step() + 1), sequences.size());
  for (const SftSequence& s : sequences) job.num_tokens += int64_t(s.tokens.size());
  std::vector<MicroBatch> batches = pack_sequences(sequences, job.config.pack);
  StepStats stats = job.learner.step(
      batches,
      [&](const TokenBatch& batch, const TokenGradient& d) { return cross_entropy_loss(batch, scale, d.logprobs); },
      job.max_steps);
  Json row = {{"step", job.step()},
              {"loss", stats.sums.loss},
              {"entropy", stats.sums.entropy / stats.sums.tokens},
              {"mean_token_accuracy", stats.sums.top1 / stats.sums.tokens},
              {"grad_norm", stats.grad_norm},
              {"learning_rate", stats.learning_rate},
              {"num_tokens", job.num_tokens},
              {"learner_tokens", stats.learner_tokens}};
  if (job.num_rows) row["epoch"] = double(job.rows.cursor().drawn()) / double(*job.num_rows);
  if (job.config.mtp_loss_weight != 0) row["mtp_loss"] = stats.mtp_loss;
  return row;
}

bool due(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

/// The held-out rows, packed once.
void prepare_evaluation(Job& job) {
  if (job.config.eval_steps == 0) return;
  const std::vector<SftSequence> sequences = encode_rows(job, job.eval_rows, job.eval_scale);
  expect_learned_tokens(job, job.eval_scale, "eval_tasks", sequences.size());
  job.eval_batches = pack_sequences(sequences, job.config.pack);
}

/// Means over the held-out tokens that are learned in such rows.
Json evaluate(Job& job) {
  LossSums sums;
  for (MicroBatch& batch : job.eval_batches) {
    job.learner.fill_statistics(batch);
    std::vector<float> no_gradient(batch.loss.logprobs.size());
    sums.add(cross_entropy_loss(batch.loss, job.eval_scale, no_gradient));
  }
  return {{"eval/loss", sums.loss},
          {"eval/entropy", sums.entropy / sums.tokens},
          {"eval/mean_token_accuracy", sums.top1 / sums.tokens},
          {"eval/num_tokens", int64_t(sums.tokens)}};
}

/// The first of equals stays the best.
void note_best(Job& job, double loss) {
  if (!job.config.keep_best_checkpoint || !std::isfinite(loss)) return;
  if (job.best.step == 0 || loss < job.best.value) job.best = {job.step(), loss};
}

/// One optimizer step, with evaluations where they are due; its row of metrics.
Json take_step(Job& job) {
  const int64_t eval_steps = job.config.eval_steps;
  Clock clock;
  Json evaluation = Json::object();
  if (job.step() == 0 && eval_steps > 0) evaluation = evaluate(job);
  double eval_seconds = clock.lap();
  Json row = learn(job);
  const double seconds = clock.lap();
  job.seconds += seconds;
  if (eval_steps > 0 && (due(job.step(), eval_steps) || job.is_over())) {
    row.update(of_the_start(evaluation));
    evaluation = evaluate(job);
    note_best(job, evaluation.at("eval/loss"));
  }
  row.update(evaluation);
  eval_seconds += clock.lap();
  row["step_time"] = seconds;
  if (eval_steps > 0) row["timing_s/eval"] = eval_seconds;
  return row;
}

uint64_t content_hash(SftRow row) {
  row.id.clear(), row.extra = Json::object();
  return stable_hash(to_json(row).dump(-1, ' ', false, Json::error_handler_t::replace));
}

/// Held-out rows that are learned measure memory: said once, on stderr; nothing is refused.
void warn_of_leaks(const Job& job) {
  if (job.config.eval_steps == 0) return;
  std::set<uint64_t> learned;
  for (const Stream<SftRow>& stream : job.rows.streams())
    for (int64_t i = 0; i < stream.size.value_or(0); ++i) learned.insert(content_hash(stream.at(i)));
  const auto is_learned = [&](const SftRow& row) { return learned.contains(content_hash(row)); };
  const auto first = std::ranges::find_if(job.eval_rows, is_learned);
  if (first != job.eval_rows.end())
    std::fprintf(stderr,
                 "cohort: %lld of %zu rows of eval_tasks are also among tasks (the first is %s): give all sources of "
                 "one split the same held_out\n",
                 static_cast<long long>(std::ranges::count_if(job.eval_rows, is_learned)), job.eval_rows.size(),
                 first->id.c_str());
}

std::string summary_line(const Json& row) {
  std::string line = "loss " + std::to_string(row["loss"].get<double>()).substr(0, 6);
  if (row.contains("eval/loss")) line += "  held out " + std::to_string(row["eval/loss"].get<double>()).substr(0, 6);
  return line;
}

/// final/ comes last: once it stands, the run is finished.
void finish(Job& job) {
  limit_checkpoints(job.run.folder, job.config.save_total_limit, job.best.step);  // a kill may have come between
  fs::path folders[] = {job.run.folder};
  write_report(folders, job.run.folder / "report.html");
  if (job.config.load_best_model_at_end && job.best.step > 0)
    load_parameters(job.loaded.model, checkpoint_of(job.run.folder, job.best.step), job.compute);
  write_folder_durably(job.run.folder / "final", [&](const fs::path& folder) {
    save_model(job.loaded.model, job.loaded.tokenizer.get(), folder);
  });
}

TrainResult tune(const SftConfig& config, SftSet rows, Run run) {
  Job job(config, std::move(rows), std::move(run));
  resume(job);
  TrainResult result{.final_folder = job.run.folder / "final"};
  auto summed = [&] { return result.seconds = job.seconds, result.tokens = job.num_tokens, result; };
  if (job.run.is_over || (job.run.finished && job.is_over())) return summed();
  if (interrupted())
    throw Interrupted("interrupted before the first step, nothing to save: go on with the same command and --resume");
  prepare_evaluation(job);
  warn_of_leaks(job);
  begin_run(job.run, job.step());
  name_best_checkpoint(job.run.folder, job.best, "eval/loss");
  RunMetrics metrics(job.run.folder, job.step());
  Progress progress("tuning", "steps", job.max_steps, job.step());
  while (!job.is_over()) {
    const Json row = take_step(job);
    metrics.log(row);
    progress.update(job.step(), summary_line(row));
    const bool stop = interrupted();
    if (stop || job.is_over() || due(job.step(), config.save_steps) || job.best.step == job.step()) checkpoint(job);
    if (stop && !job.is_over())
      throw Interrupted("interrupted at step " + std::to_string(job.step()) +
                        ", a checkpoint is written: go on with the same command and --resume");
  }
  progress.finish();
  finish(job);
  return summed();
}

}  // namespace

void validate(const SftConfig& c) {
  expect_consistent(c.lora, c.optimizer, c.mtp_loss_weight);
  if (c.eval_steps > 0 && c.eval_tasks.empty())
    throw UsageError("eval_steps is " + std::to_string(c.eval_steps) + " but eval_tasks is empty");
  if (c.keep_best_checkpoint && c.eval_steps == 0)
    throw UsageError("keep_best_checkpoint goes by eval/loss and eval_steps is 0: set eval_steps");
  if (c.load_best_model_at_end && !c.keep_best_checkpoint)
    throw UsageError("load_best_model_at_end needs the best checkpoint: set keep_best_checkpoint to true");
}

void expect_settings(const SftConfig& config, const std::string& model) {
  validate(config);
  const ModelSpec spec = load_spec(model);
  expect_mtp(spec, config.mtp_loss_weight), expect_targets(spec, config.lora), expect_tokenizer(model);
  read_held_out(config);
}

int64_t expect_runnable(const SftConfig& config, const std::string& model) {
  expect_settings(config, model);
  return num_steps(config, open_sft_set(config.tasks, config.seed));
}

int64_t num_steps(const SftConfig& c, const SftSet& rows) {
  if (c.num_train_epochs == 0) return c.max_steps.value_or(kMaxSteps);
  const std::string epochs = "num_train_epochs is " + Json(c.num_train_epochs).dump();
  for (const Stream<SftRow>& stream : rows.streams())
    if (!stream.size)
      throw UsageError(epochs + " and " + stream.name + " has no end: give it limit=N, or set max_steps in its place");
  const double steps = c.num_train_epochs * double(*rows_of_an_epoch(rows)) / c.rows_per_step;
  const int64_t count = std::max<int64_t>(1, int64_t(std::ceil(steps - 1e-9)));
  if (c.max_steps && *c.max_steps != count)
    throw UsageError(epochs + ", which makes " + std::to_string(count) + " steps, and max_steps is " +
                     std::to_string(*c.max_steps) + ": leave one of them out");
  return count;
}

SftConfig with_max_steps(SftConfig config, const SftSet& rows) {
  config.max_steps = num_steps(config, rows);
  return config;
}

SftSequence encode_row(const Tokenizer& tokenizer, const SftRow& row, int32_t max_length) {
  SftSequence s = row.messages.empty() ? encode_plain(tokenizer, row) : encode_chat(tokenizer, row);
  if (s.tokens.size() > size_t(max_length)) s.tokens.resize(size_t(max_length)), s.mask.resize(size_t(max_length));
  return s;
}

TrainResult sft(const SftConfig& config, const RunRequest& request) {
  validate(config);
  watch_interrupts();
  SftSet rows = open_sft_set(config.tasks, config.seed);
  const SftConfig effective = with_max_steps(config, rows);
  return tune(effective, std::move(rows), open_run(request, dump_config(effective), read_stored_config<SftConfig>));
}

TrainResult sft(const SftConfig& config, Run run) {
  return tune(config, open_sft_set(config.tasks, config.seed), std::move(run));
}

}  // namespace cohort
