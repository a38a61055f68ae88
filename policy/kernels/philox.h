// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A number is a function of its key and counter
// alone, so who draws first, and how often, changes nothing.
#pragma once
#include <array>
#include <cstdint>

namespace cohort {

inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t(0xD2511F53u) * counter[0], b = uint64_t(0xCD9E8D57u) * counter[2];
    counter = {uint32_t(b >> 32) ^ counter[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ counter[3] ^ key[1],
               uint32_t(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

/// Uniform in (0, 1): the middle of one of 2^24 equal intervals.
inline float uniform(uint32_t bits) {
  return (float(bits >> 8) + 0.5f) * 0x1p-24f;
}

/// The uniform number that chooses the token at `position` of member `member` of the request with seed `seed`.
inline float token_uniform(uint64_t seed, uint32_t member, uint32_t position) {
  return uniform(philox({position, member, 0x746f6b65u, 0}, {uint32_t(seed), uint32_t(seed >> 32)})[0]);
}

}  // namespace cohort
