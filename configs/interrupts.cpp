#include "configs/interrupts.h"

#include <signal.h>
#include <unistd.h>

namespace cohort {
namespace {

volatile sig_atomic_t interrupts = 0;
void on_interrupt(int) {
  interrupts = interrupts + 1;
  if (interrupts > 1) _exit(130);
}

}  // namespace

void watch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return interrupts > 0;
}

}  // namespace cohort
