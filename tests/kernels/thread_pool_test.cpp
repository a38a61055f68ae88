// The pool runs every task once, whoever comes late, and waits for nobody who has not begun.
#include "policy/kernels/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <vector>

namespace cohort {
namespace {

TEST(ThreadPool, RunsEveryTaskOnceAndIsDoneWhenItReturns) {
  for (int threads : {1, 2, 3, 16}) {  // more than there are cores: some always come late
    ThreadPool pool(threads);
    std::vector<int32_t> runs(97);
    for (int32_t round = 1; round <= 2000; ++round) {
      const int64_t count = 1 + round % 97;
      pool.reads_next(runs.data(), count * int64_t(sizeof(int32_t)));   // changes nothing
      pool.parallel_for(count, [&](int64_t i) { ++runs[size_t(i)]; });  // not atomic: two at once would lose counts
      ASSERT_EQ(std::accumulate(runs.begin(), runs.end(), 0), count) << threads << " threads, round " << round;
      std::fill(runs.begin(), runs.end(), 0);
    }
  }
}

TEST(ThreadPool, WhatHasBegunIsWaitedFor) {
  ThreadPool pool(2);
  const pthread_t caller = pthread_self();
  std::atomic<int> inside = 0;
  std::atomic<bool> ended = false;
  pool.parallel_for(2, [&](int64_t) {
    for (++inside; inside < 2;) usleep(10);
    if (pthread_equal(pthread_self(), caller)) return;
    usleep(20000);
    ended = true;
  });
  EXPECT_TRUE(ended);
}

std::atomic<bool> held = false, caught = false;
void hold(int) {
  caught = true;
  while (held) usleep(1000);
}

/// The worker of a pool of two, held by a signal as another program would hold it from its core.
class HeldWorker {
 public:
  explicit HeldWorker(ThreadPool& pool) {
    std::atomic<int> inside = 0;
    pool.parallel_for(2, [&](int64_t) {  // both threads take one
      if (!pthread_equal(pthread_self(), caller_)) worker_ = pthread_self();
      for (++inside; inside < 2;) usleep(10);
    });
    struct sigaction action {};
    action.sa_handler = hold;
    sigaction(SIGUSR1, &action, nullptr);
    held = true, caught = false;
    pthread_kill(worker_, SIGUSR1);
    while (!caught) usleep(10);
  }
  ~HeldWorker() { held = false; }

 private:
  const pthread_t caller_ = pthread_self();
  pthread_t worker_{};
};

TEST(ThreadPool, AWorkerThatHasNotBegunIsNotWaitedFor) {
  ThreadPool pool(2);
  std::atomic<int64_t> sum = 0;
  {
    const HeldWorker worker(pool);
    for (int round = 0; round < 100; ++round) pool.parallel_for(10, [&](int64_t i) { sum += i; });
  }
  EXPECT_EQ(sum, 100 * 45);
  std::atomic<int> inside = 0;  // afterwards it takes part again: neither task ends without the other
  pool.parallel_for(2, [&](int64_t) {
    for (++inside; inside < 2;) usleep(10);
  });
  EXPECT_EQ(inside, 2);
}

}  // namespace
}  // namespace cohort
