// Weights that need no storing: those of tests/policy/golden/make_families.py.
#pragma once
#include <boost/crc.hpp>
#include <cmath>

#include "policy/model.h"

namespace cohort {

/// A function of the tensor's name and the element's index.
inline void fill_by_name(CausalLM& model) {
  for (const ParameterSpec& p : model.spec.parameters) {
    boost::crc_32_type crc;
    crc.process_bytes(p.name.data(), p.name.size());
    const double seed = crc.checksum() % 10007;
    const bool is_norm = p.name.find("norm") != std::string::npos;
    const double scale = p.shape.size() > 1                               ? 2.0 / std::sqrt(double(p.shape.back()))
                         : p.name.find("correction") != std::string::npos ? 0.02
                                                                          : 0.3;
    for (int64_t i = 0; i < p.size(); ++i) {
      double value = std::sin(12.9898 * (double(i) + seed)) * 43758.5453;
      value = (value - std::floor(value) - 0.5) * scale;
      *model.at(p.offset + i) = float(p.shape.size() == 1 && is_norm ? 1.0 + value : value);
    }
  }
}

}  // namespace cohort
