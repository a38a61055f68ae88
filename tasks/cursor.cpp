#include "tasks/cursor.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "configs/error.h"
#include "tasks/random.h"

namespace cohort {

std::vector<int64_t> permutation(int64_t size, uint64_t seed, uint64_t stream) {
  std::vector<int64_t> order(size);
  std::iota(order.begin(), order.end(), int64_t{0});
  RandomStream random(seed, stream);
  for (size_t left = order.size(); left > 1; --left) std::swap(order[left - 1], order[random.below(left)]);
  return order;
}

Cursor::Cursor(std::vector<CursorSource> sources, uint64_t seed) : seed_(seed) {
  if (sources.empty()) throw UsageError("no source of tasks is given, expected at least one");
  for (CursorSource& source : sources) {
    if (source.size && *source.size <= 0) throw UsageError(source.name + ": holds no rows");
    if (!(source.weight > 0)) throw UsageError(source.name + ": weight is not above 0");
    walks_.push_back({std::move(source)});
  }
}

/// The source with the least (drawn + 1/2) / weight, the first of equals (Sainte-Laguë's rule).
size_t Cursor::furthest_behind() const {
  const auto progress = [](const Walk& walk) { return (static_cast<double>(walk.drawn) + 0.5) / walk.source.weight; };
  const auto behind = std::min_element(walks_.begin(), walks_.end(),
                                       [&](const Walk& a, const Walk& b) { return progress(a) < progress(b); });
  return behind - walks_.begin();
}

Draw Cursor::next() {
  const size_t chosen = furthest_behind();
  Walk& walk = walks_[chosen];
  const int64_t position = walk.drawn++;
  if (!walk.source.size) return {chosen, position};
  const int64_t epoch = position / *walk.source.size;
  if (epoch != walk.shuffled_epoch) {
    walk.order = permutation(*walk.source.size, mix_bits(seed_) + chosen, static_cast<uint64_t>(epoch));
    walk.shuffled_epoch = epoch;
  }
  return {chosen, walk.order[position % *walk.source.size]};
}

int64_t Cursor::drawn() const {
  return std::accumulate(walks_.begin(), walks_.end(), int64_t{0},
                         [](int64_t sum, const Walk& walk) { return sum + walk.drawn; });
}

double Cursor::epochs() const {
  double most = 0;
  for (const Walk& walk : walks_)
    if (walk.source.size)
      most = std::max(most, static_cast<double>(walk.drawn) / static_cast<double>(*walk.source.size));
  return most;
}

Json Cursor::state() const {
  Json sources = Json::array();
  for (const Walk& walk : walks_)
    sources.push_back({{"name", walk.source.name}, {"digest", walk.source.digest}, {"drawn", walk.drawn}});
  return {{"seed", seed_}, {"sources", std::move(sources)}};
}

void Cursor::restore(const Json& state) {
  const bool is_state =
      state.is_object() && state.contains("seed") && state.contains("sources") && state["sources"].is_array();
  if (!is_state) throw UsageError("the state of the task cursor is not one: expected {\"seed\", \"sources\": […]}");
  if (state["seed"] != seed_)
    throw UsageError("the task cursor was saved with seed " + state["seed"].dump() + ", this run has seed " +
                     std::to_string(seed_));
  if (state["sources"].size() != walks_.size())
    throw UsageError("the task cursor was saved with " + std::to_string(state["sources"].size()) +
                     " sources, this run has " + std::to_string(walks_.size()));
  std::vector<int64_t> drawn;
  for (size_t i = 0; i < walks_.size(); ++i) {
    const Json& saved = state["sources"][i];
    const bool is_count =
        saved.is_object() && saved.contains("drawn") && saved["drawn"].is_number_integer() && saved["drawn"] >= 0;
    if (!is_count || saved.value("digest", Json()) != walks_[i].source.digest)
      throw UsageError(walks_[i].source.name + ": its tasks are not those the cursor was saved with (" +
                       saved.value("name", Json()).dump() + "); give the same file and options, or start a new run");
    drawn.push_back(saved["drawn"].get<int64_t>());
  }
  for (size_t i = 0; i < walks_.size(); ++i) walks_[i].drawn = drawn[i];
}

}  // namespace cohort
