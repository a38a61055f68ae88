// A plain HTTP client over a socket, for tests of the service: what was sent and what came, byte for byte.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

struct Reply {
  int status = 0;  // 0: none came
  std::string head, body;
  Json json() const { return Json::parse(body, nullptr, false); }
  /// The data of server-sent events, in order.
  std::vector<std::string> events() const {
    std::vector<std::string> found;
    for (size_t at = 0; (at = body.find("data: ", at)) != std::string::npos;) {
      const size_t end = body.find("\n\n", at);
      if (end == std::string::npos) break;
      found.push_back(body.substr(at + 6, end - at - 6));
      at = end;
    }
    return found;
  }
};

inline std::string dechunked(const std::string& body) {
  std::string text;
  for (size_t at = 0; at < body.size();) {
    const size_t size = std::stoul(body.substr(at), nullptr, 16), begin = body.find("\r\n", at) + 2;
    if (size == 0) break;
    text += body.substr(begin, size);
    at = begin + size + 2;
  }
  return text;
}

class HttpClient {
 public:
  explicit HttpClient(int port, int receive_buffer = 0) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const timeval limit{.tv_sec = 60, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET, address.sin_port = htons(uint16_t(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~HttpClient() { leave(); }
  HttpClient(const HttpClient&) = delete;
  void leave() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

  void ask(const std::string& method, const std::string& path, const std::string& body = "",
           const std::string& headers = "") {
    std::string text = method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers;
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
  }
  /// Bytes until `end` is seen among all that came, or the server closes.
  const std::string& hear(const std::string& end = "") {
    char piece[4096];
    while (end.empty() || heard_.find(end) == std::string::npos) {
      const ssize_t count = recv(socket_, piece, sizeof piece, 0);
      if (count <= 0) break;
      heard_.append(piece, size_t(count));
    }
    return heard_;
  }
  Reply reply() {
    hear();
    Reply reply;
    const size_t split = heard_.find("\r\n\r\n");
    if (split == std::string::npos) return reply;
    reply.status = std::stoi(heard_.substr(9, 3));
    reply.head = heard_.substr(0, split), reply.body = heard_.substr(split + 4);
    if (reply.head.find("Transfer-Encoding: chunked") != std::string::npos) reply.body = dechunked(reply.body);
    return reply;
  }

 private:
  int socket_;
  std::string heard_;
};

}  // namespace cohort
