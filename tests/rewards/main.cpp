// A test program that runs boxes is also their warden.
#include <gtest/gtest.h>

#include "rewards/sandbox/warden.h"

int main(int argc, char** argv) {
  if (cohort::sandbox::is_warden(argc, argv)) return cohort::sandbox::serve_as_warden(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
