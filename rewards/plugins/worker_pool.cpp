#include "rewards/plugins/worker_pool.h"

namespace cohort {

std::unique_ptr<Worker> WorkerPool::take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !idle_.empty() || num_workers_ < limit_; });
    if (idle_.empty()) break;
    std::unique_ptr<Worker> worker = std::move(idle_.back());
    idle_.pop_back();
    if (worker->is_fit()) return worker;
    --num_workers_;
  }
  ++num_workers_;
  lock.unlock();
  try {
    return start_();
  } catch (...) {
    give_back(nullptr);
    throw;
  }
}

void WorkerPool::give_back(std::unique_ptr<Worker> worker) {
  {
    const std::lock_guard lock(mutex_);
    if (worker)
      idle_.push_back(std::move(worker));
    else
      --num_workers_;
  }
  changed_.notify_one();
}

}  // namespace cohort
