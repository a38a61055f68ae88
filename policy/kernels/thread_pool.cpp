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

/// Spins for 5 µs (longer spinning makes steps 10–50 times slower where cores are shared), then offers the core to
/// others for 200 µs, which costs nothing where nobody wants it and saves the 50 µs that a sleeping thread takes to
/// wake.
template <class Ready>
bool spin_until(Ready ready) {
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

void ThreadPool::take_tasks() {
  for (int64_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) call_(context_, i);
}

void ThreadPool::run(int64_t count, Call call, void* context) {
  call_ = call, context_ = context, count_ = count;
  next_ = 0;
  inside_ = 0;  // open
  ++round_;
  round_.notify_all();
  take_tasks();
  uint32_t left = inside_.fetch_or(kClosed) | kClosed;
  while (left != kClosed) {
    if (!spin_until([&] { return inside_.load() == kClosed; })) inside_.wait(left);
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
    if (!spin_until([&] { return round_.load() != seen; })) round_.wait(seen);
    seen = round_.load();
    if (stop_) return;
    if (!enter()) continue;
    take_tasks();
    leave();
  }
}

int usable_cores() {
  return cores().usable();
}

}  // namespace cohort
