#include "policy/kernels/coded_bfloat16.h"

#include <algorithm>
#include <cstring>

namespace cohort {
namespace {

using Words = uint16_t __attribute__((vector_size(16)));
using Bytes = uint8_t __attribute__((vector_size(8)));

Words words_at(const bfloat16* row, int64_t i) {
  Words words;
  std::memcpy(&words, row + i, sizeof words);
  return words;
}
Words exponents_of(Words weights) {
  return weights >> 7 & 0xff;
}
bool any(Words mask) {
  uint64_t halves[2];
  std::memcpy(halves, &mask, sizeof mask);
  return (halves[0] | halves[1]) != 0;
}

int largest_exponent(const bfloat16* rows, int64_t count) {
  Words most = {};
  for (int64_t i = 0; i < count; i += 8) {
    const Words exponents = exponents_of(words_at(rows, i));
    most = exponents > most ? exponents : most;
  }
  int largest = 0;
  for (int i = 0; i < 8; ++i) largest = std::max<int>(largest, most[i]);
  return largest;
}

/// Whether a row has an exponent other than 0 at or below `lowest`.
bool has_lower(const bfloat16* row, int lowest) {
  Words found = {};
  for (int64_t i = 0; i < 64; i += 8) {
    const Words exponents = exponents_of(words_at(row, i));
    found |= Words((exponents != 0) & (exponents <= uint16_t(lowest)));
  }
  return any(found);
}

void put_bytes(Words words, uint8_t* to) {
  const Bytes bytes = __builtin_convertvector(words, Bytes);
  std::memcpy(to, &bytes, sizeof bytes);
}

/// Eight columns' bytes at 8·i: four weights of each of two vectors, see coded_position.
Words eight_at(const bfloat16* row, int i) {
  Words weights;
  const bfloat16* from = row + 32 * (i % 2) + 4 * (i / 2);
  std::memcpy(&weights, from, 8);
  std::memcpy(reinterpret_cast<char*>(&weights) + 8, from + 16, 8);
  return __builtin_shuffle(weights, Words{0, 4, 1, 5, 2, 6, 3, 7});
}

void encode_pair(const bfloat16* first, const bfloat16* second, int lowest, bool is_wide, uint8_t* pair,
                 uint8_t* wide) {
  for (int i = 0; i < 8; ++i) {
    const Words weights[2] = {eight_at(first, i), eight_at(second, i)};
    Words exponents[2], codes[2];
    for (int row = 0; row < 2; ++row) {
      exponents[row] = exponents_of(weights[row]);
      const Words above = exponents[row] == 0 ? Words{} : exponents[row] - uint16_t(lowest);
      codes[row] = is_wide ? exponents[row] & 15 : above;
      put_bytes((weights[row] >> 8 & 0x80) | (weights[row] & 0x7f), pair + 64 + 64 * row + 8 * i);
    }
    put_bytes(codes[0] | codes[1] << 4, pair + 8 * i);
    if (is_wide) put_bytes(exponents[0] >> 4 | (exponents[1] & 0xf0), wide + 8 * i);
  }
}

}  // namespace

void encode_block(const bfloat16* rows_of_64, int64_t k, const CodedBlockOf<uint8_t>& to) {
  static constexpr bfloat16 kZeros[64] = {};
  const int lowest = std::max(largest_exponent(rows_of_64, k * 64) - 15, 0);
  std::memset(to.block, 0, size_t(coded_header_bytes(k)));
  to.block[0] = uint8_t(lowest);
  for (int64_t pair = 0; pair < coded_pairs(k); ++pair) {
    const bfloat16* first = rows_of_64 + 2 * pair * 64;
    const bfloat16* second = 2 * pair + 1 < k ? first + 64 : kZeros;
    const bool is_wide = has_lower(first, lowest) || has_lower(second, lowest);
    if (is_wide) to.block[1 + pair / 8] |= uint8_t(1 << (pair % 8));
    encode_pair(first, second, lowest, is_wide, to.block + coded_header_bytes(k) + pair * kCodedPairBytes,
                to.wide + pair * kWidePairBytes);
  }
}

void decode_column(const CodedBlock& from, int64_t k, int column, float* out) {
  const int position = coded_position(column), lowest = from.block[0];
  for (int64_t i = 0; i < k; ++i) {
    const int shift = i % 2 ? 4 : 0;
    const uint8_t* pair = from.block + coded_header_bytes(k) + i / 2 * kCodedPairBytes;
    const int code = pair[position] >> shift & 15, byte = pair[64 + 64 * (i % 2) + position];
    int exponent = code ? lowest + code : 0;
    if (from.is_wide(i / 2)) exponent = (from.wide[i / 2 * kWidePairBytes + position] >> shift & 15) << 4 | code;
    out[i] = to_float({uint16_t((byte & 0x80) << 8 | exponent << 7 | (byte & 0x7f))});
  }
}

}  // namespace cohort
