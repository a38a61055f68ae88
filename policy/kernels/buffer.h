// Uninitialised memory for rows of numbers, aligned to 64 bytes. Growing does not keep the contents.
// What is several MB long asks for huge pages: weights and caches are read once a decoding step, and reading 32 MB
// takes 0.6 of the time with them (Zen 4, one core).
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace cohort {

/// Uninitialised, aligned to at least 64 bytes; std::bad_alloc where there is none. Given back by std::free.
void* allocate_rows(size_t bytes);

template <class T>
class BufferOf {
 public:
  BufferOf() = default;
  explicit BufferOf(int64_t size) { resize(size); }
  /// At least `size` elements, their values unspecified.
  void resize(int64_t size) {
    size_ = size;
    if (size <= capacity_) return;
    memory_ = Memory(static_cast<T*>(allocate_rows(sizeof(T) * size_t(size))), Free{});
    capacity_ = size;
  }
  /// The same elements; `other` keeps and outlives them.
  static BufferOf view_of(const BufferOf& other) {
    BufferOf view;
    view.memory_ = Memory(other.memory_.get(), Free{.is_owner = false});
    view.size_ = view.capacity_ = other.size_;
    return view;
  }
  void release() { memory_.reset(), size_ = capacity_ = 0; }
  T* data() { return memory_.get(); }
  const T* data() const { return memory_.get(); }
  T& operator[](int64_t i) { return memory_[size_t(i)]; }
  const T& operator[](int64_t i) const { return memory_[size_t(i)]; }
  int64_t size() const { return size_; }
  int64_t bytes() const { return capacity_ * int64_t(sizeof(T)); }

 private:
  struct Free {
    bool is_owner = true;
    void operator()(T* p) const {
      if (is_owner) std::free(p);
    }
  };
  using Memory = std::unique_ptr<T[], Free>;
  Memory memory_;
  int64_t size_ = 0, capacity_ = 0;
};
using Buffer = BufferOf<float>;

}  // namespace cohort
