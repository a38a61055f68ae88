#include "rewards/plugins/hosted.h"

#include <algorithm>

#include "configs/error.h"
#include "rewards/plugins/request.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

using Clock = Worker::Clock;

Clock::time_point after(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(std::min(seconds, 1e8)));  // years: more would overflow
}

std::string seconds_text(double seconds) {
  std::string text = Json(seconds).dump();
  return (text.ends_with(".0") ? text.substr(0, text.size() - 2) : text) + " s";
}

std::unique_ptr<Worker> start_worker(const WorkerCommand& command, const HostedOptions& options) {
  auto worker = std::make_unique<Worker>(command);
  if (options.protocol == Protocol::lines) return worker;
  std::string line;
  const Worker::Heard heard = worker->hear(line, after(options.start_seconds));
  const Json json = heard == Worker::Heard::line ? Json::parse(line, nullptr, false) : Json();
  if (json.is_object() && json.contains("ready")) {
    worker->one_by_one = json.value("one_by_one", false);
    worker->has_begun = true;
    return worker;
  }
  std::string why = "its worker gave no sign in " + seconds_text(options.start_seconds);
  if (json.is_object() && json.contains("fault")) why = one_line(json.value("fault", ""), 1000);
  if (heard == Worker::Heard::ended) why = "its worker " + worker->how_it_ended();
  throw UsageError("reward " + options.name + " cannot be used: " + why);
}

std::string request_text(std::span<const Judged> batch, const Answers& answers, Protocol protocol, double seconds) {
  std::string lines;
  Json items = Json::array();
  for (size_t i : answers.missing()) {
    Json item = request_item(batch[i], answers.ids()[i]);
    if (protocol == Protocol::lines)
      lines += wire_text(item) + "\n";
    else
      items.push_back(std::move(item));
  }
  if (protocol == Protocol::lines) return lines;
  return wire_text({{"items", std::move(items)}, {"seconds_per_item", seconds}}) + "\n";
}

/// How a worker got through what it was sent.
enum class Ending { whole, broken, spoiled };  // broken: it answers no more; spoiled: nothing of it can be trusted

class Conversation {
 public:
  Conversation(Worker& worker, Answers& answers, const HostedOptions& options, double seconds_per_item)
      : worker_(worker),
        answers_(answers),
        options_(options),
        protocol_(options.protocol),
        seconds_(seconds_per_item) {}

  std::string why;  // of an ending that is not whole

  Ending listen() {
    const size_t asked = answers_.missing().size();
    std::string line;
    Worker::Heard heard = worker_.has_begun ? Worker::Heard::nothing : hear_begin(line);
    auto until = after(seconds_ * double(worker_.one_by_one ? 1 : asked));
    for (;; heard = worker_.hear(line, until)) {
      switch (heard) {
        case Worker::Heard::nothing:
          if (Clock::now() < until) continue;
          why = late(asked);
          return Ending::broken;
        case Worker::Heard::ended:
          why = "the checker's process " + worker_.how_it_ended();
          return Ending::broken;
        case Worker::Heard::too_much:
          why = "the checker wrote 64 MiB without a line's end";
          return Ending::spoiled;
        case Worker::Heard::line:
          break;
      }
      if (const auto ending = take(line)) return *ending;
      if (worker_.one_by_one) until = after(seconds_);
    }
  }

 private:
  // What a new program says first, or nothing once it reads: loading a model is not judging.
  Worker::Heard hear_begin(std::string& line) {
    const auto until = after(options_.start_seconds);
    Worker::Heard heard = Worker::Heard::nothing;
    while (heard == Worker::Heard::nothing && !worker_.has_read_all() && Clock::now() < until)
      heard = worker_.hear(line, std::min(until, after(0.01)));
    worker_.has_begun = true;
    return heard;
  }

  std::string late(size_t asked) const {
    return worker_.one_by_one || asked == 1
               ? "took longer than the deadline of " + seconds_text(seconds_) + "; its worker was killed"
               : "the batch of " + std::to_string(asked) + " took longer than " + seconds_text(seconds_) +
                     " an item; its worker was killed";
  }

  // One line of the worker; an ending when nothing is to follow.
  std::optional<Ending> take(const std::string& line) {
    const Json json = parse_answers(line);
    if (protocol_ == Protocol::batches && json.is_object() && json.contains("end")) return Ending::whole;
    if (protocol_ == Protocol::batches && json.is_object() && json.contains("failed")) {
      answers_.fail_missing(json.value("failed", ""));
      return {};
    }
    if (json.is_discarded()) {
      why = std::string("noise ") + (protocol_ == Protocol::lines ? "on stdout" : "on its channel") + ": " +
            excerpt(line) + ", expected a line of JSON with \"id\" and \"score\"";
      return Ending::spoiled;
    }
    for (const Json& answer : json.is_array() ? json : Json::array({json})) {
      why = answers_.take(answer);
      if (!why.empty()) return Ending::spoiled;
    }
    return protocol_ == Protocol::lines && answers_.missing().empty() ? std::optional(Ending::whole) : std::nullopt;
  }

  Worker& worker_;
  Answers& answers_;
  const HostedOptions& options_;
  Protocol protocol_;
  double seconds_;
};

// Asks one worker for what is missing. Returns whether anybody is to be asked for the rest.
bool ask(WorkerPool& pool, std::span<const Judged> batch, Answers& answers, const HostedOptions& options,
         double seconds) {
  WorkerPool::Lease worker(pool);
  (*worker).send(request_text(batch, answers, options.protocol, seconds));
  Conversation conversation(*worker, answers, options, seconds);
  const Ending ending = conversation.listen();
  if (ending == Ending::whole) {
    worker.keep();
    answers.fail_missing("no answer came for this id");
  } else if (ending == Ending::spoiled) {
    answers.fail_all(conversation.why);
  } else if ((*worker).one_by_one) {
    answers.fail_first_missing(conversation.why);
  } else {
    answers.fail_missing(conversation.why);
  }
  return !answers.missing().empty();
}

}  // namespace

RewardFn hosted_reward(const WorkerCommand& command, const HostedOptions& options) {
  const auto start = [command, options] { return start_worker(command, options); };
  const auto pool = std::make_shared<WorkerPool>(start, options.workers);  // shared by the copies of the function
  return [pool, options](std::span<const Judged> batch, Deadline deadline) {
    const auto started = Clock::now();
    Answers answers(wire_ids(batch));
    try {
      while (ask(*pool, batch, answers, options, deadline.per_completion.count())) {
      }
    } catch (const std::exception& error) {
      answers.fail_missing(error.what());
    }
    std::vector<Score> scores = answers.scores();
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count() / double(batch.size());
    for (Score& score : scores) score.seconds = seconds;
    return scores;
  };
}

}  // namespace cohort
