// A server of canned behaviour for tests: one thread, one request a connection.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace cohort {

class HttpServer {
 public:
  /// `answer` gets a request's body and returns the bytes of the whole response.
  explicit HttpServer(std::function<std::string(const std::string& body)> answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener_, 64);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { serve(); });
  }
  ~HttpServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  std::string url(const std::string& path = "/judge") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::atomic<int> num_requests{0};

  static std::string response(const std::string& body, const std::string& status = "200 OK") {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  void serve() {
    for (int client; (client = accept(listener_, nullptr, nullptr)) >= 0; close(client)) {
      const std::string response = answer_(body_of(client));
      ++num_requests;
      (void)!send(client, response.data(), response.size(), MSG_NOSIGNAL);
    }
  }
  static std::string body_of(int client) {
    std::string text;
    for (char bytes[65536];;) {
      const size_t end = text.find("\r\n\r\n"), length = text.find("Content-Length: ");
      if (end != std::string::npos && text.size() >= end + 4 + std::stoul(text.substr(length + 16)))
        return text.substr(end + 4);
      const ssize_t count = read(client, bytes, sizeof bytes);
      if (count <= 0) return text;
      text.append(bytes, size_t(count));
    }
  }

  std::function<std::string(const std::string&)> answer_;
  int listener_ = -1, port_ = 0;
  std::jthread thread_;
};

}  // namespace cohort
