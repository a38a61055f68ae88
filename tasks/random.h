// Random bits without a state: draw `counter` of stream `stream` is the same on every machine and whatever was drawn
// before. A bijective 64-bit mixer applied to a counter, as in SplitMix64 (Steele, Lea, Flood 2014).
#pragma once
#include <cstdint>

namespace cohort {

/// A bijection of 64-bit words whose output bits all depend on all input bits (SplitMix64's finalizer).
constexpr uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

/// The draws of one stream, in order.
class RandomStream {
 public:
  RandomStream(uint64_t seed, uint64_t stream) : key_(mix_bits(mix_bits(seed + kStep) + stream * kStep)) {}

  uint64_t next() { return mix_bits(key_ + ++counter_ * kStep); }

  /// Uniform in [0, count), count > 0; draws again where the remainder would favour small values.
  uint64_t below(uint64_t count) {
    const uint64_t limit = UINT64_MAX - (UINT64_MAX % count + 1) % count;
    uint64_t bits = next();
    while (bits > limit) bits = next();
    return bits % count;
  }

  /// Uniform in [low, high].
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
  }

  /// Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio, odd: the counter visits every word
  uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace cohort
