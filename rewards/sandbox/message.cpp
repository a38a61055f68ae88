// Messages with open files over a SOCK_SEQPACKET socket.
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "rewards/sandbox/warden.h"

namespace cohort::sandbox {

bool send_message(int socket, const std::string& text, const std::vector<int>& files) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * kMaxFiles)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!files.empty()) {
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * files.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * files.size());
    std::memcpy(CMSG_DATA(header), files.data(), sizeof(int) * files.size());
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(text.size());
}

Message receive_message(int socket) {
  Message received;
  received.text.resize(kMaxRequest);
  iovec part{received.text.data(), received.text.size()};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * kMaxFiles) + CMSG_SPACE(sizeof(ucred))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  received.text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  for (cmsghdr* header = got < 0 ? nullptr : CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_RIGHTS) {
      received.files.resize((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      std::memcpy(received.files.data(), CMSG_DATA(header), received.files.size() * sizeof(int));
    } else if (header->cmsg_type == SCM_CREDENTIALS) {
      ucred sender;
      std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
      received.process = sender.pid;
    }
  }
  return received;
}

}  // namespace cohort::sandbox
