// One pool for the whole program. Work is split into numbered tasks; who runs which is left to chance, so a task must
// write only what is its own: then results do not depend on the number of threads. A worker that another program keeps
// from its core when a round begins misses the round: nobody waits for who has not begun.
//
// The caller takes tasks from the front and workers from the back; who waits fetches meanwhile what it will read next,
// from the same end (reads_next): at one row a step the memory would stand idle between two products.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace cohort {

class ThreadPool {
 public:
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return int(workers_.size()) + 1; }

  /// What a coming round reads, in the order of its tasks; only speed depends on it. To be called by the thread that
  /// calls parallel_for.
  void reads_next(const void* begin, int64_t bytes);

  /// Runs task(i) for every i in [0, count), the caller's thread included; returns when all are done. Not reentrant.
  template <class F>
  void parallel_for(int64_t count, F&& task) {
    if (count <= 0) return;
    if (workers_.empty() || count == 1) {
      for (int64_t i = 0; i < count; ++i) task(i);
      return;
    }
    run(
        count, [](void* f, int64_t i) { (*static_cast<std::remove_reference_t<F>*>(f))(i); }, &task);
  }

 private:
  using Call = void (*)(void*, int64_t);
  static constexpr uint32_t kClosed = 1u << 31;
  void run(int64_t count, Call call, void* context);
  bool enter();
  void leave();
  void take_from_front();
  void take_from_back();
  bool fetch_from_front();
  bool fetch_from_back();
  void work();

  std::vector<std::thread> workers_;
  Call call_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  alignas(64) std::atomic<uint32_t> round_{0};         // raised when tasks are there; workers wait on it
  alignas(64) std::atomic<int64_t> taken_{0};          // how many tasks were taken, from either end
  std::atomic<int64_t> back_{0};                       // workers take task back_ − 1
  alignas(64) std::atomic<uint32_t> inside_{kClosed};  // workers that take tasks; kClosed: nobody may begin to
  std::atomic<bool> stop_{false};
  const char *front_ = nullptr, *front_end_ = nullptr;                        // for the caller to fetch
  alignas(64) std::atomic<const char*> rear_{nullptr}, rear_begin_{nullptr};  // for the workers, from rear_ backwards
};

/// Cores this process may run on (affinity and cgroup quota), at least 1.
int usable_cores();

}  // namespace cohort
