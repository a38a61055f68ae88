// The cost of one decoding step over the number of completions and the keys that each of them has, beside what the
// formulas of its work say (engine.md §4); --plot draws both.
#include <algorithm>
#include <fstream>
#include <map>

#include "configs/error.h"
#include "grpo/bench/bench.h"
#include "grpo/report/chart.h"
#include "grpo/report/html.h"
#include "grpo/report/page_parts.h"
#include "policy/forward.h"

namespace cohort {
namespace {

struct StepCost {
  int32_t slots;
  int64_t context;
  double measured, least;  // seconds
};

/// Completions that all have `context` keys, the last of which the step writes; caches hold zeros.
struct DecodingStep {
  DecodingStep(const CausalLM& m, const Compute& c, int32_t slots, int64_t context)
      : model(m),
        compute(c),
        blocks_each(ceil_div(context, kKeyBlock)),
        kv(m.spec, slots * blocks_each, false),
        logits_BV(slots * m.spec.vocab) {
    for (int32_t block = 0; block < slots * blocks_each; ++block) tables.push_back(block);
    for (int32_t s = 0; s < slots; ++s) {
      spans.push_back({s, 1, int32_t(context - 1), tables.data() + s * blocks_each});
      tokens.push_back(int32_t(uint32_t(s) * 2654435761u % uint32_t(m.spec.vocab)));  // any, and of many kinds
    }
  }
  void run() {
    forward(model, compute, {.tokens = tokens, .sequences = spans}, kv, Activations::none, state);
    logits(model, compute, state.hidden_TD.data(), nullptr, int64_t(tokens.size()), logits_BV.data());
  }

  const CausalLM& model;
  const Compute& compute;
  int64_t blocks_each;
  KvStore kv;
  ForwardState state;
  Buffer logits_BV;
  std::vector<int32_t> tables, tokens;
  std::vector<RowSpan> spans;
};

std::vector<int64_t> contexts_of(const BenchShape& shape, const ModelSpec& spec) {
  std::vector<int64_t> contexts;
  for (int32_t context : shape.contexts)
    if (context > spec.max_position)
      throw UsageError("--contexts " + std::to_string(context) + " exceeds the model's context of " +
                       std::to_string(spec.max_position));
    else
      contexts.push_back(context);
  if (contexts.empty())
    for (int64_t context = 64; context <= std::min<int64_t>(1024, spec.max_position); context *= 2)
      contexts.push_back(context);
  return contexts;
}

/// Milliseconds of a step over slots, a line for each context, or the other way round; dashed: the roof.
template <class Along, class Of>
std::string chart_over(const std::string& title, const std::vector<StepCost>& costs, const std::string& unit,
                       Along along, Of of) {
  std::map<int64_t, std::pair<Series, Series>> lines;
  for (const StepCost& cost : costs) {
    lines[of(cost)].first.push_back({double(along(cost)), 1e3 * cost.measured});
    lines[of(cost)].second.push_back({double(along(cost)), 1e3 * cost.least});
  }
  Chart chart{.title = title};
  std::string legend;
  for (auto& [key, both] : lines) {
    for (Series* series : {&both.first, &both.second}) std::ranges::sort(*series, {}, &Point::step);
    const std::string label = std::to_string(key) + " " + unit;
    const size_t colour = chart.lines.size() / 2;
    chart.lines.push_back({label, colour, 0, both.first});
    chart.lines.push_back({label + ", roof", colour, 1, both.second});
    legend += "<span><span class=\"dot r" + std::to_string(colour % 6) + "\"></span>" + label + "</span>";
  }
  return "<section class=\"card\"><header><h4>" + escape_html(title) + "</h4></header>" + chart_svg(chart) +
         "<div class=\"legend\">" + legend + "</div></section>";
}

void write_plot(const std::string& file, const std::string& model, const std::vector<StepCost>& costs) {
  const auto slots = [](const StepCost& c) { return int64_t(c.slots); };
  const auto context = [](const StepCost& c) { return c.context; };
  const std::string body =
      element("h1", "One decoding step of " + escape_html(model)) +
      element("p", "Milliseconds. Dashed: the least that arithmetic and memory of this machine allow.") +
      "<div class=\"grid\">" + chart_over("over completions decoded at once", costs, "keys", slots, context) +
      chart_over("over keys of each completion", costs, "completions", context, slots) + "</div>";
  std::ofstream page(file);
  page << page_html("Decoding steps", body);
  if (!page.flush()) throw UsageError("--plot " + file + " cannot be written");
}

}  // namespace

void bench_decode(const Compute& compute, const BenchConfig& config, const BenchReport& report) {
  LoadedModel loaded = load_model(config.model, compute, config.bf16, Weights::packed);
  const CausalLM& model = loaded.model;
  const std::vector<int64_t> contexts = contexts_of(config.shape, model.spec);
  extend_rope(loaded.model, std::ranges::max(contexts));
  const double most = double(std::ranges::max(config.shape.slots)) * double(std::ranges::max(contexts));
  const Roofs roofs = measure_roofs(compute, model, most, config.seconds / 10);
  std::vector<StepCost> costs;
  for (int32_t slots : config.shape.slots)
    for (int64_t context : contexts) {
      const Work work = decode_work(model, slots, double(context));
      DecodingStep step(model, compute, slots, context);
      costs.push_back({slots, context, median_seconds(config.seconds, [&] { step.run(); }), roofs.seconds(work)});
      report({.bench = "decode",
              .name = std::to_string(slots) + " slots, " + std::to_string(context) + " keys each",
              .value = slots / costs.back().measured,
              .unit = "tokens/s",
              .roof = slots / costs.back().least,
              .bound = roofs.memory_bound(work) ? "memory" : "compute"});
    }
  if (!config.plot.empty()) write_plot(config.plot, config.model, costs);
}

}  // namespace cohort
