#include "policy/kernels/buffer.h"

#include <sys/mman.h>

#include <new>

namespace cohort {

constexpr size_t kHugePage = 2 << 20, kAlignment = 64;

void* allocate_rows(size_t bytes) {
  bool large = bytes >= 2 * kHugePage;
  size_t alignment = large ? kHugePage : kAlignment;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!memory) throw std::bad_alloc();
  // Whole huge pages alone, so that the last one takes no more memory than is asked for. A refusal costs speed only.
  if (large) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return memory;
}

}  // namespace cohort
