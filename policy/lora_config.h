// The settings of low-rank adapters (policy/adapter.h), by the names of TRL.
#pragma once
#include <string>
#include <vector>

#include "configs/config.h"

namespace cohort {

struct LoraConfig {
  bool use_peft = false;
  int32_t lora_r = 16;
  double lora_alpha = 32;
  std::vector<std::string> lora_target_modules = {"all-linear"};
  bool use_rslora = false;
};
template <class V>
void visit_fields(V& v, LoraConfig& c) {
  v.field("use_peft", c.use_peft,
          "learn low-rank adapters beside frozen weights (LoRA); a model that is a PEFT folder goes on with its own");
  v.field("lora_r", c.lora_r, "rank of each adapter", between(1, 4096));
  v.field("lora_alpha", c.lora_alpha, "adapters are scaled by lora_alpha / lora_r", between(open(0), closed(1e6)));
  v.field("lora_target_modules", c.lora_target_modules,
          "what gets an adapter: ends of module names (q_proj, mlp.down_proj), or the groups attention, mlp (dense "
          "blocks and shared experts), experts (routed), all-linear (all of these)");
  v.field("use_rslora", c.use_rslora, "scale by lora_alpha / sqrt(lora_r) instead (arXiv 2312.03732)");
}

}  // namespace cohort
