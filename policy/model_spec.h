// What a model is, without its weights: blocks described by plain values. A family (policy/models/) maps an HF
// config.json to this and says what its tensors are called; the one forward and backward read nothing else.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

// Largest sizes, where rows are worked on in arrays of fixed size.
constexpr int32_t kMostHeadsOfAKey = 128, kMostHeadDim = 512, kMostLatent = 2048, kMostExperts = 1024,
                  kMostGroups = 256, kMostChosen = 64;

struct RopeSpec {
  int32_t dim = 0;              // rotated dimensions, even
  bool interleaved = false;     // pairs (2j, 2j+1); else (j, j + dim/2)
  std::vector<float> inv_freq;  // [dim/2] radians a position
  float amplitude = 1;          // of cos and sin (YaRN)
};

/// RMS norm of queries and keys: of each head or of all heads as one row, before the rotation or after it.
enum class QkNorm { none, heads, whole, heads_after_rope };

struct AttentionSpec {
  bool latent = false;              // multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), else grouped-query
  int32_t heads = 0, kv_heads = 0;  // latent: kv_heads is 1, all heads read the one latent
  int32_t head_dim = 0;             // grouped-query: of q, k; latent: nope + rope
  int32_t value_head_dim = 0;       //
  int32_t q_lora_rank = 0;          // latent: 0 means a plain q projection
  int32_t kv_lora_rank = 0;         // latent
  int32_t nope_dim = 0, rope_dim = 0;  // latent
  float scale = 1;                     // of the scores
  int32_t window = 0;                  // grouped-query: last positions that a query sees, its own included; 0: all
  QkNorm qk_norm = QkNorm::none;       // grouped-query
  float lora_norm_epsilon = 1e-6f;     // latent: of the q_a and kv_a norms

  int32_t key_dim() const { return latent ? kv_lora_rank + rope_dim : head_dim; }  // what one key holds
  int32_t first_key(int32_t position) const { return window && position >= window ? position - window + 1 : 0; }
  // The norm of queries (keys alike) takes q_norms() rows of q_norm_dim() elements of a token.
  int32_t q_norms() const { return qk_norm == QkNorm::whole ? 1 : heads; }
  int32_t k_norms() const { return qk_norm == QkNorm::whole ? 1 : kv_heads; }
  int32_t q_norm_dim() const { return heads * head_dim / q_norms(); }
  int32_t k_norm_dim() const { return kv_heads * head_dim / k_norms(); }
  int32_t value_dim() const { return latent ? kv_lora_rank : value_head_dim; }  // what attention returns for a head
  int32_t in_rows() const {                                                     // outputs of the first projection
    return latent ? (q_lora_rank ? q_lora_rank : heads * head_dim) + kv_lora_rank + rope_dim
                  : (heads + 2 * kv_heads) * head_dim;
  }
};

struct MoeSpec {
  int32_t experts = 0, top_k = 0;      //
  int32_t groups = 1, top_groups = 1;  // group-limited routing
  int32_t expert_dim = 0, shared_dim = 0;
  bool sigmoid_scores = true;  // else softmax over all experts
  bool normalize = true;       // chosen weights sum to 1, then × scale
  bool group_by_best = false;  // a group is worth its best expert (DeepSeek-V2), else the sum of its two best
  float scale = 1;
  bool correction_bias = false;  // selection by score + bias (aux-loss-free balancing, arXiv 2408.15664)
};

/// Where a layer's tensors start in the flat parameter vector; −1 where the layer has none. Those that one product
/// reads are neighbours: q_a|kv_a, q|kv_a, q|k|v, gate|up.
struct LayerOffsets {
  int64_t attention_norm = -1, in = -1, in_bias = -1, q_a_norm = -1, q_b = -1, kv_a_norm = -1, kv_b = -1, o = -1;
  int64_t q_norm = -1, k_norm = -1, o_bias = -1;
  int64_t ffn_norm = -1, gate_up = -1, down = -1;  // dense, or the shared expert
  int64_t gate_up_bias = -1, down_bias = -1;       // dense
  int64_t router = -1, router_bias = -1;
  std::vector<int64_t> expert_gate_up, expert_down;
};

struct LayerSpec {
  AttentionSpec attention;
  int32_t dense_dim = 0;  // 0: mixture of experts
  MoeSpec moe;
  LayerOffsets offsets;
  int32_t ffn_dim() const { return dense_dim ? dense_dim : moe.shared_dim; }
};

/// Multi-token prediction (DeepSeek-V3, arXiv 2412.19437 §2.2): a block that reads the hidden state of a position
/// beside the embedding of the next token and predicts the token after that. Embedding and head are the model's own.
struct MtpSpec {
  LayerSpec layer;
  int64_t embedding_norm = -1, hidden_norm = -1, final_norm = -1;
  int64_t projection = -1;       // [dim, 2·dim]: of the normed embedding, then of the normed hidden state
  int64_t first_parameter = -1;  // its parameters are the last ones of the flat vector
};

struct ParameterSpec {
  std::string name;  // as in the HF file
  std::vector<int64_t> shape;
  int64_t offset = 0;    // into the flat parameter vector
  bool gradient = true;  // false: router correction biases
  int64_t size() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

struct ModelSpec {
  std::string model_type;  // as in config.json
  int32_t vocab = 0, dim = 0, max_position = 0;
  float norm_epsilon = 1e-6f;
  bool tied_embeddings = false;
  RopeSpec rope;
  std::vector<LayerSpec> layers;
  std::optional<MtpSpec> mtp;
  std::vector<ParameterSpec> parameters;
  std::vector<ParameterSpec> copies;  // what files hold a second time: the MTP layer's embedding and head
  int64_t embedding = -1, final_norm = -1, head = -1;  // head equals embedding when tied
  int64_t num_parameters = 0;                          // elements of the flat vector
  std::vector<int32_t> stop_ids;                       // eos_token_id of config.json and generation_config.json
  Json config;                                         // config.json as read
  Json generation = Json::object();                    // generation_config.json as read

  int32_t moe_layers() const {
    int32_t n = 0;
    for (const LayerSpec& layer : layers) n += layer.dense_dim == 0;
    return n;
  }
  int64_t main_parameters() const { return mtp ? mtp->first_parameter : num_parameters; }  // without the MTP layer
  int64_t active_parameters() const;  // that one token passes through, embedding lookup left out
};

/// Throws UsageError naming the key for a config.json that is not a model this version knows.
ModelSpec model_spec(const Json& config);
/// Adds the multi-token-prediction layer that spec.config names (num_nextn_predict_layers); false where it names none
/// or the family has none here. Files decide: configs name layers that were never written.
bool add_mtp(ModelSpec& spec);
void remove_mtp(ModelSpec& spec);

}  // namespace cohort
