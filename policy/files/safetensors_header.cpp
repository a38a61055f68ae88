#include "policy/files/safetensors_header.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "configs/error.h"
#include "policy/files/tensor_view.h"

namespace cohort {
namespace {

using nlohmann::json;

// Bounds on time and memory, far above any file: tensors of a header, keys of its metadata, tensors of an index.
constexpr size_t most_tensors = 1 << 18, most_metadata = 1 << 16, most_placed = 1 << 20;

// Events of the JSON text, told with the path of keys that leads to them; whatever a form does not know is refused.
// No tree is built, so a text of brackets costs nothing.
class StrictReader : public nlohmann::json_sax<json> {
 public:
  explicit StrictReader(const std::string& file) : file_(file) {}

  bool key(string_t& name) override {
    keys_.back() = name;
    return on_key();
  }
  bool start_object(size_t) override {
    keys_.emplace_back();
    return on_open(false);
  }
  bool end_object() override {
    keys_.pop_back();
    return on_close();
  }
  bool start_array(size_t) override { return on_open(true); }
  bool end_array() override { return on_close(); }
  bool string(string_t& text) override { return on_string(text); }
  bool number_unsigned(number_unsigned_t number) override { return on_unsigned(number); }
  bool number_integer(number_integer_t) override { return refuse("holds a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return on_other("holds a number that is no integer"); }
  bool boolean(bool) override { return on_other("holds true or false where the form has none"); }
  bool null() override { return on_other("holds null where the form has none"); }
  bool binary(binary_t&) override { return false; }
  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    throw UsageError(file_ + ": broken JSON at byte " + std::to_string(position) + ".");
  }

 protected:
  virtual bool on_key() { return true; }
  virtual bool on_open(bool array) = 0;
  virtual bool on_close() { return true; }
  virtual bool on_string(std::string& text) = 0;
  virtual bool on_unsigned(uint64_t number) = 0;
  virtual bool on_other(std::string_view what) { return refuse(what); }

  size_t depth() const { return keys_.size(); }  // of objects
  const std::string& key_at(size_t level) const { return keys_[level]; }

  bool refuse(std::string_view what) const {
    const std::string where = keys_.empty() ? "the header" : quote_name(keys_.front());
    throw UsageError(file_ + ": " + where + " " + std::string(what) + ".");
  }

 private:
  const std::string& file_;
  std::vector<std::string> keys_;  // the current key of each open object
};

class HeaderReader final : public StrictReader {
 public:
  using StrictReader::StrictReader;
  SafetensorsHeader header;

 private:
  enum Field { dtype = 1, shape = 2, data_offsets = 4, all = 7 };
  int seen_ = 0, field_ = 0;  // fields of the open tensor, and the current one
  bool in_array_ = false, seen_metadata_ = false;
  size_t num_offsets_ = 0;

  bool in_metadata() const { return key_at(0) == "__metadata__"; }

  bool on_key() override {
    if (depth() == 1 || in_metadata()) return true;
    const std::string& name = key_at(1);
    field_ = name == "dtype" ? dtype : name == "shape" ? shape : name == "data_offsets" ? data_offsets : 0;
    if (field_ == 0) return refuse("has the unknown key " + quote_name(name));
    if (seen_ & field_) return refuse("has the key " + quote_name(name) + " twice");
    seen_ |= field_;
    return true;
  }

  bool on_open(bool array) override {
    if (array) {
      if (depth() != 2 || in_array_ || in_metadata() || field_ == dtype)
        return refuse("holds an array where the form has none");
      in_array_ = true;
      num_offsets_ = 0;
    } else if (in_array_ || depth() > 2) {
      return refuse("is nested deeper than a safetensors header");
    } else if (depth() == 2 && in_metadata()) {
      if (std::exchange(seen_metadata_, true)) return refuse("stands twice");
    } else if (depth() == 2) {
      seen_ = field_ = 0;
      if (header.tensors.size() == most_tensors)
        return refuse("is one tensor too many: at most " + std::to_string(most_tensors) + " are read");
      header.tensors.emplace_back().name = key_at(0);
    }
    return true;
  }

  bool on_close() override {
    if (in_array_) {
      in_array_ = false;
      return field_ != data_offsets || num_offsets_ == 2 || refuse("has no two data_offsets");
    }
    return depth() != 1 || in_metadata() || seen_ == all || refuse("lacks one of dtype, shape and data_offsets");
  }

  bool on_string(std::string& text) override {
    if (depth() == 2 && in_metadata()) {
      if (header.metadata.size() == most_metadata)
        return refuse("has more than " + std::to_string(most_metadata) + " keys");
      if (!header.metadata.emplace(key_at(1), text).second)
        return refuse("has the key " + quote_name(key_at(1)) + " twice");
      return true;
    }
    if (depth() != 2 || in_array_ || field_ != dtype) return refuse("holds a text where the form has none");
    header.tensors.back().dtype = text;
    return true;
  }

  bool on_unsigned(uint64_t number) override {
    if (!in_array_) return refuse("holds a number where the form has none");
    TensorEntry& tensor = header.tensors.back();
    if (field_ == shape) {
      if (number > INT64_MAX) return refuse("has a size of more than 2^63");
      tensor.shape.push_back(static_cast<int64_t>(number));
    } else {
      if (num_offsets_ == 2) return refuse("has more than two data_offsets");
      tensor.data_offsets[num_offsets_++] = number;
    }
    return true;
  }
};

// {"metadata"?: {…}, "weight_map": {tensor: shard}}; metadata and unknown keys are passed over.
class IndexReader final : public StrictReader {
 public:
  using StrictReader::StrictReader;
  std::vector<std::pair<std::string, std::string>> shards;
  bool found = false;

 private:
  bool in_map() const { return depth() > 0 && key_at(0) == "weight_map"; }

  bool on_open(bool array) override {
    if (depth() > 8) return refuse("is nested deeper than a safetensors index");
    if (depth() == 0 || (in_map() && (array || depth() != 2))) return refuse("is no object of texts");
    if (in_map() && std::exchange(found, true)) return refuse("stands twice");
    return true;
  }
  bool on_string(std::string& text) override {
    if (in_map() && depth() != 2) return refuse("is no object of texts");
    if (in_map() && shards.size() == most_placed)
      return refuse("places more than " + std::to_string(most_placed) + " tensors");
    if (in_map()) shards.emplace_back(key_at(1), text);
    return true;
  }
  bool on_unsigned(uint64_t) override { return !in_map() || refuse("is no object of texts"); }
  bool on_other(std::string_view what) override { return !in_map() || refuse(what); }
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& file) {
  if (!text.starts_with('{'))
    throw UsageError(file + ": the header is no JSON object, so this is no safetensors file.");
  HeaderReader reader(file);
  json::sax_parse(text, &reader);
  return std::move(reader.header);
}

std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view text,
                                                                         const std::string& file) {
  if (text.find_first_not_of(" \t\r\n") == text.npos) throw UsageError(file + ": the index is empty.");
  IndexReader reader(file);
  json::sax_parse(text, &reader);
  if (!reader.found) throw UsageError(file + ": the index has no \"weight_map\".");
  return std::move(reader.shards);
}

}  // namespace cohort
