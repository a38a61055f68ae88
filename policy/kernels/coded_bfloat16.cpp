#include "policy/kernels/coded_bfloat16.h"

#include <algorithm>
#include <cstring>

namespace cohort {
namespace {

using Words = uint16_t __attribute__((vector_size(16)));
using Bytes = uint8_t __attribute__((vector_size(8)));

constexpr int kVectors = 8;  // of eight weights in a row

Words words_at(const bfloat16* rows, int64_t i) {
  Words words;
  std::memcpy(&words, rows + i, sizeof words);
  return words;
}
Words exponents_of(Words weights) {
  return weights >> 7 & 0xff;
}

/// The lowest exponent of a chunk whose weights all have the exponent 0 or one of the fifteen above it; kWide if there
/// is none.
uint8_t lowest_exponent(const bfloat16* rows, int64_t count) {
  Words most = {}, least = Words{} + uint16_t(255);  // of the exponents that are not 0
  for (int64_t i = 0; i < count * kVectors; ++i) {
    const Words exponents = exponents_of(words_at(rows, 8 * i)), or_255 = exponents == 0 ? Words{} + 255 : exponents;
    most = exponents > most ? exponents : most, least = or_255 < least ? or_255 : least;
  }
  int high = 0, low = 255;
  for (int i = 0; i < 8; ++i) high = std::max<int>(high, most[i]), low = std::min<int>(low, least[i]);
  const int lowest = std::max(high - 15, 0);
  return high == 0 || low > lowest ? uint8_t(lowest) : kWide;
}

/// Sixteen columns' worth of bytes at 16·l, from four weights of each of the four vectors: see coded_position.
void encode_sixteen(const bfloat16* row, int l, uint8_t lowest, uint8_t* codes, uint8_t* signs) {
  for (int half = 0; half < 2; ++half) {
    Words weights;
    const bfloat16* from = row + 32 * half + 4 * l;
    std::memcpy(&weights, from, 8);
    std::memcpy(reinterpret_cast<char*>(&weights) + 8, from + 16, 8);
    weights = __builtin_shuffle(weights, Words{0, 4, 1, 5, 2, 6, 3, 7});
    const Words exponents = exponents_of(weights), code = exponents == 0 ? Words{} : exponents - lowest;
    const Bytes code_bytes = __builtin_convertvector(code, Bytes),
                sign_bytes = __builtin_convertvector((weights >> 8 & 0x80) | (weights & 0x7f), Bytes);
    std::memcpy(codes + 16 * l + 8 * half, &code_bytes, 8);
    std::memcpy(signs + 16 * l + 8 * half, &sign_bytes, 8);
  }
}

}  // namespace

int64_t coded_bytes(const uint8_t* block, int64_t k) {
  int64_t bytes = coded_header_bytes(k);
  for (int64_t row = 0; row < k; row += kCodedRows)
    bytes += coded_chunk_bytes(block[row / kCodedRows], std::min(kCodedRows, k - row));
  return bytes;
}

uint8_t encode_chunk(const bfloat16* rows_of_64, int64_t rows, uint8_t* chunk) {
  const uint8_t lowest = rows == 1 ? kWide : lowest_exponent(rows_of_64, rows);  // one row alone would grow
  if (lowest == kWide) {
    std::memcpy(chunk, rows_of_64, size_t(rows) * 128);
    return kWide;
  }
  for (int64_t row = 0; row < rows; row += 2, chunk += kCodedPairBytes) {
    uint8_t codes[2][64] = {};
    std::memset(chunk + 128, 0, 64);
    for (int64_t i = 0; i < std::min<int64_t>(2, rows - row); ++i)
      for (int l = 0; l < 4; ++l) encode_sixteen(rows_of_64 + (row + i) * 64, l, lowest, codes[i], chunk + 64 + 64 * i);
    for (int i = 0; i < 64; ++i) chunk[i] = uint8_t(codes[0][i] | codes[1][i] << 4);
  }
  return lowest;
}

void decode_column(const uint8_t* block, int64_t k, int column, float* out) {
  const uint8_t* chunk = block + coded_header_bytes(k);
  const int position = coded_position(column);
  for (int64_t first = 0; first < k; first += kCodedRows) {
    const uint8_t lowest = block[first / kCodedRows];
    const int64_t rows = std::min(kCodedRows, k - first);
    for (int64_t i = 0; i < rows; ++i) {
      bfloat16 weight;
      if (lowest == kWide) {
        std::memcpy(&weight, chunk + i * 128 + 2 * column, sizeof weight);
      } else {
        const uint8_t* pair = chunk + i / 2 * kCodedPairBytes;
        const int code = pair[position] >> (i % 2 ? 4 : 0) & 15, byte = pair[64 + 64 * (i % 2) + position];
        const int exponent = code ? lowest + code : 0;
        weight.bits = uint16_t((byte & 0x80) << 8 | exponent << 7 | (byte & 0x7f));
      }
      out[first + i] = to_float(weight);
    }
    chunk += coded_chunk_bytes(lowest, rows);
  }
}

}  // namespace cohort
