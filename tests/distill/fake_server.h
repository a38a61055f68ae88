// A server of a few lines over sockets, of which a test says byte for byte what it answers, when, and whether at all.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

struct FakeRequest {
  std::string path, head;
  Json body;
  int64_t number = 0;  // of those that came before it
};

inline std::string http_reply(int status, const std::string& body, const std::string& headers = "") {
  return "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Type: application/json\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// An answer of chats with these texts, each of so many tokens.
inline std::string chat_reply(const std::vector<std::string>& texts, int64_t tokens_each = 3,
                              const std::string& finish = "stop") {
  Json choices = Json::array();
  for (const std::string& text : texts)
    choices.push_back({{"index", choices.size()},
                       {"message", {{"role", "assistant"}, {"content", text}}},
                       {"finish_reason", finish}});
  return http_reply(200,
                    Json{{"choices", choices},
                         {"usage", {{"prompt_tokens", 7}, {"completion_tokens", tokens_each * int64_t(texts.size())}}}}
                        .dump());
}

class FakeServer {
 public:
  /// What `reply` returns is sent as it is, then the connection is closed. Requests are answered side by side.
  explicit FakeServer(std::function<std::string(const FakeRequest&)> reply) : reply_(std::move(reply)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET, address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 256) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("no port");
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~FakeServer() {
    is_ending_ = true;
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : connections_) thread.join();
    close(listener_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  bool is_ending() const { return is_ending_; }
  std::vector<FakeRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  /// How often each body came.
  std::map<std::string, int> times_asked() const {
    std::map<std::string, int> times;
    for (const FakeRequest& request : requests()) ++times[request.body.dump()];
    return times;
  }
  /// Most requests that were there at the same time.
  int most_at_once() const { return most_at_once_; }

 private:
  void accept_all() {
    while (!is_ending_) {
      const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) continue;
      connections_.emplace_back([this, connection] {
        serve(connection);
        close(connection);
      });
    }
  }
  void serve(int connection) {
    std::string text;
    char piece[4096];
    size_t split = 0, length = 0;
    while ((split = text.find("\r\n\r\n")) == std::string::npos || text.size() < split + 4 + length) {
      const ssize_t count = recv(connection, piece, sizeof piece, 0);
      if (count <= 0) return;
      text.append(piece, size_t(count));
      const size_t field = text.find("Content-Length: ");
      if (field != std::string::npos) length = std::stoul(text.substr(field + 16));
    }
    FakeRequest request{.path = text.substr(5, text.find(' ', 5) - 5),
                        .head = text.substr(0, split),
                        .body = Json::parse(text.substr(split + 4), nullptr, false)};
    const int at_once = ++num_here_;
    for (int most = most_at_once_; at_once > most && !most_at_once_.compare_exchange_weak(most, at_once);) {
    }
    {
      const std::lock_guard lock(mutex_);
      request.number = int64_t(requests_.size());
      requests_.push_back(request);
    }
    const std::string reply = reply_(request);
    --num_here_;
    for (size_t sent = 0; sent < reply.size();) {
      const ssize_t count = send(connection, reply.data() + sent, reply.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += size_t(count);
    }
  }

  std::function<std::string(const FakeRequest&)> reply_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> is_ending_ = false;
  std::atomic<int> num_here_ = 0, most_at_once_ = 0;
  mutable std::mutex mutex_;
  std::vector<FakeRequest> requests_;
  std::list<std::thread> connections_;
  std::thread acceptor_;
};

}  // namespace cohort
