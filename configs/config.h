// Strict configs. A config struct lists its knobs once, in visit_fields beside the struct; reading, printing and the
// JSON Schema all follow from that list.
//
//   struct AdvantageConfig { std::string scale_rewards = "group"; double epsilon_std = 1e-4; };
//   template <class V> void visit_fields(V& v, AdvantageConfig& c) {
//     v.field("scale_rewards", c.scale_rewards, "divide by the std of the group, of the batch, or not", one_of({"group", "batch", "none"}));
//     v.field("epsilon_std", c.epsilon_std, "added to the std", above(0));
//   }
//   template <class V> void visit_fields(V& v, TrainConfig& c) {
//     visit_fields(v, c.advantage);                                    // flat: its keys stand among ours
//     v.object("overlong", c.overlong, "soft penalty on length");      // nested: a JSON object of its own
//   }
#pragma once
#include <nlohmann/json.hpp>

namespace cohort {
using Json = nlohmann::json;
}
