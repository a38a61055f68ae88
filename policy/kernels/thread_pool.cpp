#include "policy/kernels/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>

#include "configs/machine.h"

namespace cohort {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

constexpr int64_t kFetchPiece = 2048, kFetchMost = 256 << 10;  // bytes at once, and ahead: a part of a second cache

void fetch(const char* from) {
  for (int64_t i = 0; i < kFetchPiece; i += 64) __builtin_prefetch(from + i, 0, 2);
}

/// Fetches ahead while there is something to fetch, spins for 5 µs (longer spinning makes steps 10–50 times slower
/// where cores are shared), then offers the core to others for 200 µs, which costs nothing where nobody wants it and
/// saves the 50 µs that a sleeping thread takes to wake.
template <class Ready, class Fetch>
bool spin_until(Ready ready, Fetch fetch_ahead) {
  while (fetch_ahead())
    if (ready()) return true;
  auto start = std::chrono::steady_clock::now();
  while (true) {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause();
    }
    auto waited = std::chrono::steady_clock::now() - start;
    if (waited > std::chrono::microseconds(200)) return false;
    if (waited > std::chrono::microseconds(5)) sched_yield();
  }
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  for (int i = 1; i < num_threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  ++round_;
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::reads_next(const void* begin, int64_t bytes) {
  const char *first = static_cast<const char*>(begin), *end = first + bytes;
  front_ = first, front_end_ = first + std::min(bytes, kFetchMost);
  rear_begin_ = end - std::min(bytes, kFetchMost * int64_t(workers_.size()));
  rear_ = end;
}

bool ThreadPool::fetch_from_front() {
  if (front_ >= front_end_) return false;
  fetch(front_);
  front_ += kFetchPiece;
  return true;
}

bool ThreadPool::fetch_from_back() {
  if (rear_.load(std::memory_order_relaxed) <= rear_begin_.load(std::memory_order_relaxed)) return false;
  fetch(rear_.fetch_sub(kFetchPiece) - kFetchPiece);
  return true;
}

void ThreadPool::take_from_front() {
  for (int64_t i = 0; taken_.fetch_add(1) < count_; ++i) call_(context_, i);
}

void ThreadPool::take_from_back() {
  while (taken_.fetch_add(1) < count_) call_(context_, back_.fetch_sub(1) - 1);
}

void ThreadPool::run(int64_t count, Call call, void* context) {
  call_ = call, context_ = context, count_ = count;
  taken_ = 0, back_ = count;
  inside_ = 0;  // open
  ++round_;
  round_.notify_all();
  take_from_front();
  uint32_t left = inside_.fetch_or(kClosed) | kClosed;
  while (left != kClosed) {
    if (!spin_until([&] { return inside_.load() == kClosed; }, [&] { return fetch_from_front(); })) inside_.wait(left);
    left = inside_.load();
  }
}

bool ThreadPool::enter() {
  uint32_t inside = inside_.load();
  while (!(inside & kClosed))
    if (inside_.compare_exchange_weak(inside, inside + 1)) return true;
  return false;
}

void ThreadPool::leave() {
  if (inside_.fetch_sub(1) == (kClosed | 1)) inside_.notify_one();
}

void ThreadPool::work() {
  uint32_t seen = 0;
  while (true) {
    if (!spin_until([&] { return round_.load() != seen; }, [&] { return fetch_from_back(); })) round_.wait(seen);
    seen = round_.load();
    if (stop_) return;
    if (!enter()) continue;
    take_from_back();
    leave();
  }
}

int usable_cores() {
  return cores().usable();
}

}  // namespace cohort
