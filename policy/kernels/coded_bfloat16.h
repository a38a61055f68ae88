// bfloat16 weights in 12 bits, without loss. The exponents of a block of weights are few: nearly all are 0 or one of
// the fifteen up to the largest, so that four bits name them; sign and mantissa take the other eight. Decoding reads
// every weight at every step, and so reads a quarter less. Pairs of rows with a weight that does not fit ("wide" pairs,
// one of 75 where weights are normally distributed) keep the upper half of their exponents elsewhere. (The entropy of
// such exponents is about 2.6 bits: DFloat11, arXiv 2504.11651.)
//
// Of a matrix [N, K] first come the blocks of 64 columns, one behind the other and read in one go, then as much room
// for wide pairs. A block: its lowest exponent; one bit for each pair of rows, set where it is wide; up to the next
// multiple of 64; the pairs. A pair: 64 codes of both rows (the first row's in the low nibbles), 64 signs and mantissas
// of the first row, 64 of the second, columns in the order of coded_position. Code 0 is the exponent 0, code c the
// exponent lowest + c; in a wide pair it is the lower half of the exponent, whose upper half lies in the room for wide
// pairs.
#pragma once
#include "policy/kernels/bfloat16.h"

namespace cohort {

constexpr int64_t kCodedPairBytes = 192, kWidePairBytes = 64;

/// Of column 16·v + 4·l + i among the 64 bytes: unpacking bytes to words and words to floats within 128 bits, as all
/// instruction sets do, gives back four vectors of neighbouring columns.
constexpr int coded_position(int column) {
  const int v = column / 16, l = column % 16 / 4, i = column % 4;
  return 16 * l + 8 * (v / 2) + 2 * i + v % 2;
}
constexpr int64_t coded_pairs(int64_t k) {
  return (k + 1) / 2;
}
constexpr int64_t coded_header_bytes(int64_t k) {
  return (1 + (coded_pairs(k) + 7) / 8 + 63) / 64 * 64;
}
constexpr int64_t coded_block_bytes(int64_t k) {
  return coded_header_bytes(k) + coded_pairs(k) * kCodedPairBytes;
}
/// Of a matrix, with the room for wide pairs.
constexpr int64_t coded_size(int64_t n, int64_t k) {
  return (n + 63) / 64 * (coded_block_bytes(k) + coded_pairs(k) * kWidePairBytes);
}

template <class Byte>
struct CodedBlockOf {
  Byte* block = nullptr;
  Byte* wide = nullptr;  // 64 bytes for each pair
  bool is_wide(int64_t pair) const { return block[1 + pair / 8] >> (pair % 8) & 1; }
};
using CodedBlock = CodedBlockOf<const uint8_t>;

/// Block `index` of a matrix [N, K] at `matrix`.
template <class Byte>
CodedBlockOf<Byte> coded_block(Byte* matrix, int64_t n, int64_t k, int64_t index) {
  const int64_t blocks = (n + 63) / 64;
  return {matrix + index * coded_block_bytes(k),
          matrix + blocks * coded_block_bytes(k) + index * coded_pairs(k) * kWidePairBytes};
}

/// Writes a block of k rows [k][64]; what no pair needs of the room for wide ones is left as it is.
void encode_block(const bfloat16* rows_of_64, int64_t k, const CodedBlockOf<uint8_t>& to);
/// The k weights of one of the 64 columns: the reference of what the kernels decode.
void decode_column(const CodedBlock& from, int64_t k, int column, float* out);

}  // namespace cohort
