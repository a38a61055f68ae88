// Workers of one plug-in: as many as are asked for at once, up to a limit; what broke is replaced at the next asking.
#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "rewards/plugins/worker.h"

namespace cohort {

class WorkerPool {
 public:
  using Start = std::function<std::unique_ptr<Worker>()>;

  /// Starts one worker; throws what `start` throws.
  WorkerPool(Start start, size_t limit) : start_(std::move(start)), limit_(limit) {
    idle_.push_back(start_());
    num_workers_ = 1;
  }

  /// A worker for one batch; it is killed at the end of its scope unless it was kept.
  class Lease {
   public:
    explicit Lease(WorkerPool& pool) : pool_(pool), worker_(pool.take()) {}
    ~Lease() { pool_.give_back(is_kept_ ? std::move(worker_) : nullptr); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Worker& operator*() const { return *worker_; }
    void keep() { is_kept_ = true; }

   private:
    WorkerPool& pool_;
    std::unique_ptr<Worker> worker_;
    bool is_kept_ = false;
  };

 private:
  std::unique_ptr<Worker> take();
  void give_back(std::unique_ptr<Worker> worker);  // null: it is gone

  Start start_;
  size_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Worker>> idle_;
  size_t num_workers_ = 0;  // idle ones and those at work
};

}  // namespace cohort
