// bfloat16 weights in 12 bits, without loss. The exponents of neighbouring weights are few: of 16 rows of 64 columns
// nearly always all lie within 15 powers of two, or are zero, so that four bits name them; sign and mantissa take the
// other eight. Decoding reads every weight for every step, and reads a quarter less. Rows of which one weight does not
// fit are kept as they are. (The entropy of such exponents is about 2.6 bits: DFloat11, arXiv 2504.11651.)
//
// A block of 64 columns and K rows: one byte for each chunk of 16 rows (its lowest exponent, or kWide), up to the next
// multiple of 64; then the chunks behind one another. A coded chunk is ceil(rows / 2) pairs of 192 bytes: codes of both
// rows (the first in the low nibbles), then 64 signs and mantissas of the first row, then of the second, columns in the
// order of coded_position. Code 0 is the exponent 0, code c the exponent lowest + c. A wide chunk is [rows][64]
// bfloat16.
#pragma once
#include "policy/kernels/bfloat16.h"

namespace cohort {

constexpr int64_t kCodedRows = 16, kCodedPairBytes = 192;
constexpr uint8_t kWide = 255;

/// Of column 16·v + 4·l + i among the 64 bytes: unpacking bytes to words and words to floats within 128 bits, as all
/// instruction sets do, gives back four vectors of neighbouring columns.
constexpr int coded_position(int column) {
  const int v = column / 16, l = column % 16 / 4, i = column % 4;
  return 16 * l + 8 * (v / 2) + 2 * i + v % 2;
}
constexpr int64_t coded_header_bytes(int64_t k) {
  return ((k + kCodedRows - 1) / kCodedRows + 63) / 64 * 64;
}
/// What a block takes at most.
constexpr int64_t coded_block_bytes(int64_t k) {
  return coded_header_bytes(k) + k * 128;
}
constexpr int64_t coded_chunk_bytes(uint8_t lowest, int64_t rows) {
  return lowest == kWide ? rows * 128 : (rows + 1) / 2 * kCodedPairBytes;
}

/// What this block of k rows takes.
int64_t coded_bytes(const uint8_t* block, int64_t k);
/// Writes a chunk of `rows` ≤ 16 rows [rows][64] where they belong and returns its header byte.
uint8_t encode_chunk(const bfloat16* rows_of_64, int64_t rows, uint8_t* chunk);
/// The k weights of one of the 64 columns: the reference of what the kernels decode.
void decode_column(const uint8_t* block, int64_t k, int column, float* out);

}  // namespace cohort
