// Being told to stop.
#pragma once

namespace cohort {

/// From now on the first SIGINT or SIGTERM makes interrupted() true, so that what runs is finished and saved; the
/// second ends the program at once with exit code 130.
void watch_interrupts();
bool interrupted();

}  // namespace cohort
