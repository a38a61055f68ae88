// The warden: a small process of its own between the program and the boxes. It assembles the read-only root once, then
// forks a box for each request, so that the program, with its threads and gigabytes, never forks.
//
// A request is one message on a SOCK_SEQPACKET socket: a JSON object and open files.
//   {"steps": […], "argv": […], "env": ["NAME=value", …], "program": N}   files: 0, 1, 2, … of the box, then its lease
// Where "program" is given, file N is executed instead of argv[0]. The lease is a SOCK_SEQPACKET socket: the warden's
// side says {} when the box starts (the credentials tell its process), then once how it ended:
//   {"code": exit code} or {"signal": number}, with "cpu" in seconds and "peak" in bytes; {"failed": reason} before it
// ran. Closing the other end kills all that the box holds.
#pragma once
#include <string>
#include <vector>

#include "rewards/sandbox/isolation.h"

namespace cohort::sandbox {

constexpr const char* kWardenVerb = "sandbox-warden";  // not shown in help
constexpr int kControlFile = 3;                        // of the warden
constexpr size_t kMaxRequest = 128 << 10;              // bytes
constexpr size_t kMaxFiles = 8;

/// Whether this process was started as the warden: main() then serves and does nothing else. A program that runs boxes
/// and does not ask this first would start itself again and again.
bool is_warden(int argc, char** argv);

/// Serves until the control socket closes; returns the exit code. After the verb stand pairs of words: a folder besides
/// /usr that boxes may read, and where they see it. The first message out is {"fresh_proc": true or false} or
/// {"failed": reason}.
int serve_as_warden(int argc, char** argv);

/// One message with open files; returns false when the other side is gone.
bool send_message(int socket, const std::string& text, const std::vector<int>& files = {});

struct Message {
  std::string text;        // empty: the other side is gone
  std::vector<int> files;  // to be closed by who receives them
  int process = 0;         // sender, where the socket passes credentials
};
Message receive_message(int socket);

}  // namespace cohort::sandbox
