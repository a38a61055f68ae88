#include "rewards/http/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "configs/error.h"

namespace cohort::http {
namespace {

/// A server on a free port, ended with this object.
class Running {
 public:
  explicit Running(std::vector<Route> routes, ServerOptions options = {}) : server_(with_free_port(options)) {
    thread_ = std::thread([this, routes] { server_.run(routes, [this] { return stop_.load(); }); });
  }
  ~Running() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int port() const { return server_.port(); }

 private:
  static ServerOptions with_free_port(ServerOptions options) {
    options.port = 0;
    return options;
  }
  Server server_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

/// A plain client: bytes out, bytes in.
class Client {
 public:
  explicit Client(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET, address.sin_port = htons(uint16_t(port)),
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval limit{.tv_sec = 10, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Client() { close(socket_); }
  void say(const std::string& bytes) { ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  /// What comes until `end` is seen in it, or until the server closes.
  std::string hear(const std::string& end = "") {
    std::string heard;
    char piece[4096];
    while (end.empty() || heard.find(end) == std::string::npos) {
      ssize_t count = recv(socket_, piece, sizeof piece, 0);
      if (count <= 0) break;
      heard.append(piece, size_t(count));
    }
    return heard;
  }

 private:
  int socket_;
};

std::string ask(int port, const std::string& bytes) {
  Client client(port);
  client.say(bytes);
  return client.hear();
}

std::string post(const std::string& path, const std::string& body, const std::string& headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::vector<Route> echo_routes() {
  return {{"POST", "/echo", [](const Request& r, Answer& a) { a.send(200, "text/plain", r.body); }},
          {"GET", "/health", [](const Request&, Answer& a) { a.send(200, "text/plain", "ok"); }, true},
          {"GET", "/broken", [](const Request&, Answer&) { throw std::logic_error("a shelf fell"); }},
          {"GET", "/refused", [](const Request&, Answer&) { throw Error(429, "come later", "n"); }},
          {"GET", "/stream", [](const Request&, Answer& a) {
             a.start(200, "text/event-stream");
             for (const char* piece : {"one", "", "two"}) a.write(piece);
           }}};
}

TEST(HttpServer, AnswersAndKeepsTheConnection) {
  Running server(echo_routes());
  Client client(server.port());
  for (const char* body : {"first", "second"}) {
    std::string size = std::to_string(strlen(body));
    client.say("POST /echo?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: " + size + "\r\n\r\n" + body);
    std::string heard = client.hear(body);
    EXPECT_EQ(heard.substr(0, 15), "HTTP/1.1 200 OK") << heard;
    EXPECT_NE(heard.find("keep-alive"), std::string::npos);
  }
}

TEST(HttpServer, RequestsThatComeTogetherAreAnsweredInOrder) {
  Running server(echo_routes());
  Client client(server.port());
  client.say("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na" + post("/echo", "b"));
  std::string heard = client.hear();
  EXPECT_LT(heard.find("\r\n\r\na"), heard.find("\r\n\r\nb"));
}

TEST(HttpServer, AStreamComesInChunks) {
  Running server(echo_routes());
  std::string heard = ask(server.port(), "GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(heard.find("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), std::string::npos) << heard;
}

TEST(HttpServer, RefusalsAreOpenAIShaped) {
  Running server(echo_routes());
  auto get = [&](const std::string& path) {
    return ask(server.port(), "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  };
  EXPECT_EQ(get("/nowhere").substr(9, 3), "404");
  std::string wrong = get("/echo");
  EXPECT_EQ(wrong.substr(9, 3), "405");
  EXPECT_NE(wrong.find("Allow: POST\r\n"), std::string::npos);
  EXPECT_EQ(get("/broken").substr(9, 3), "500");
  std::string refused = get("/refused");
  EXPECT_NE(refused.find(R"({"error":{"message":"come later","type":"rate_limit_error","param":"n","code":429}})"),
            std::string::npos)
      << refused;
  EXPECT_EQ(ask(server.port(), "BREW /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").substr(9, 3), "405");
  const std::string unreadable = ask(server.port(), "no request at all\r\n\r\n");
  EXPECT_EQ(unreadable.substr(9, 3), "400");
  EXPECT_NE(unreadable.find("Connection: close\r\n"), std::string::npos) << unreadable;
}

TEST(HttpServer, KeysAreWanted) {
  Running server(echo_routes(), {.keys = {"secret", "other"}});
  EXPECT_EQ(ask(server.port(), post("/echo", "x")).substr(9, 3), "401");
  EXPECT_EQ(ask(server.port(), post("/echo", "x", "Authorization: Bearer secreT\r\n")).substr(9, 3), "401");
  EXPECT_EQ(ask(server.port(), post("/echo", "x", "Authorization: Bearer other\r\n")).substr(9, 3), "200");
  EXPECT_EQ(ask(server.port(), "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").substr(9, 3), "200");
}

TEST(HttpServer, KeyFiles) {
  std::string file = testing::TempDir() + "keys";
  std::ofstream(file) << "  one \n\ntwo\r\n";
  EXPECT_EQ(read_keys(file), (std::vector<std::string>{"one", "two"}));
  std::ofstream(file) << "\n \n";
  EXPECT_THROW(read_keys(file), UsageError);
  EXPECT_THROW(read_keys(file + ".nowhere"), UsageError);
}

TEST(HttpServer, OtherMachinesNeedAKey) {
  EXPECT_NO_THROW(expect_safe({.host = "127.0.0.1"}, false));
  EXPECT_NO_THROW(expect_safe({.host = "localhost"}, false));
  EXPECT_NO_THROW(expect_safe({.host = "0.0.0.0", .keys = {"k"}}, false));
  EXPECT_NO_THROW(expect_safe({.host = "0.0.0.0"}, true));
  EXPECT_THROW(expect_safe({.host = "0.0.0.0"}, false), UsageError);
}

TEST(HttpServer, APortInUse) {
  Running server(echo_routes());
  EXPECT_THROW(Server({.port = server.port()}), std::runtime_error);
}

TEST(HttpServerAttack, EverythingAClientSendsIsBounded) {
  Running server(echo_routes());
  EXPECT_EQ(ask(server.port(), "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n").substr(9, 3),
            "413");
  EXPECT_EQ(ask(server.port(), "GET /health HTTP/1.1\r\nX: " + std::string(70 << 10, 'x') + "\r\n\r\n").substr(9, 3),
            "431");
  std::string lines;
  for (int i = 0; i < 201; ++i) lines += "X-" + std::to_string(i) + ": 1\r\n";
  EXPECT_EQ(ask(server.port(), "GET /health HTTP/1.1\r\n" + lines + "\r\n").substr(9, 3), "431");
  std::string chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 9; ++i) chunked += "100000\r\n" + std::string(1 << 20, 'x') + "\r\n";
  EXPECT_EQ(ask(server.port(), chunked).substr(9, 3), "413");
  EXPECT_EQ(ask(server.port(), post("/echo", "still here")).substr(9, 3), "200");
}

TEST(HttpServerAttack, ASlowRequestIsGivenUp) {
  Running server(echo_routes(), {.request_seconds = 0.3});
  Client client(server.port());
  client.say("GET /hea");
  EXPECT_EQ(client.hear().substr(9, 3), "408");
}

TEST(HttpServerAttack, ConnectionsAreCounted) {
  Running server(echo_routes(), {.max_connections = 2});
  Client first(server.port()), second(server.port());
  for (Client* client : {&first, &second}) {
    client->say("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(client->hear("ok").substr(9, 3), "200");
  }
  EXPECT_EQ(ask(server.port(), "").substr(9, 3), "503");
}

TEST(HttpServer, ExpectIsAnsweredAtOnce) {
  Running server(echo_routes());
  Client client(server.port());
  client.say(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.hear("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.say("ab");
  EXPECT_NE(client.hear().find("\r\n\r\nab"), std::string::npos);
}

TEST(HttpServerFault, AClientThatLeavesIsNoticed) {
  std::atomic<bool> noticed = false;
  Running server({{"GET", "/wait", [&](const Request&, Answer& a) {
                     for (int i = 0; i < 500 && !noticed; ++i) {
                       std::this_thread::sleep_for(std::chrono::milliseconds(10));
                       noticed = a.abandoned();
                     }
                   }}});
  {
    Client client(server.port());
    client.say("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  server.stop();
  EXPECT_TRUE(noticed);
}

TEST(HttpServerFault, WhatRunsIsFinishedAndNothingNewIsTaken) {
  std::atomic<bool> begun = false;
  Running server({{"GET", "/slow", [&](const Request&, Answer& a) {
                     begun = true;
                     std::this_thread::sleep_for(std::chrono::milliseconds(300));
                     a.send(200, "text/plain", "done");
                   }}});
  Client idle(server.port()), client(server.port());
  client.say("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  while (!begun) std::this_thread::yield();
  int port = server.port();
  server.stop();
  EXPECT_NE(client.hear().find("done"), std::string::npos);
  EXPECT_EQ(idle.hear(), "");
  int late = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET, address.sin_port = htons(uint16_t(port)),
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_NE(connect(late, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(late);
}

TEST(HttpServerFault, AClientThatReadsNothingDoesNotDelayTheEnd) {
  std::atomic<bool> begun = false;
  Running server({{"GET", "/much",
                   [&](const Request&, Answer& a) {
                     begun = true;
                     a.send(200, "text/plain", std::string(64 << 20, 'x'));
                   }}},
                 {.write_seconds = 600, .farewell_seconds = 0.2});
  Client client(server.port());
  client.say("GET /much HTTP/1.1\r\nHost: x\r\n\r\n");
  while (!begun) std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  server.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(HttpServerFault, WhatIsOfferedWaitsForNobodyAndComesWhole) {
  std::string said;
  std::atomic<bool> is_kept = false;
  Running server({{"GET", "/offers", [&](const Request&, Answer& a) {
                     a.start(200, "text/plain");
                     for (int i = 0; i < 1000 && !is_kept; ++i) {  // until the socket takes no more
                       const std::string piece(100'000, char('a' + i % 26));
                       said += piece;
                       is_kept = !a.offer(piece);
                     }
                     EXPECT_FALSE(a.offer(""));
                     said += "the end", a.write("the end");
                   }}});
  Client client(server.port());
  client.say("GET /offers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  while (!is_kept) std::this_thread::yield();
  const std::string heard = client.hear();
  std::string body;
  for (size_t at = heard.find("\r\n\r\n") + 4; at < heard.size();) {
    const size_t size = std::stoul(heard.substr(at, 16), nullptr, 16), begin = heard.find("\r\n", at) + 2;
    body += heard.substr(begin, size), at = begin + size + 2;
  }
  EXPECT_TRUE(body == said) << body.size() << " of " << said.size();
}

TEST(HttpServerFault, WorkThatDoesNotEndIsToldThatItIsOver) {
  std::atomic<bool> begun = false;
  Running server({{"GET", "/forever",
                   [&](const Request&, Answer& a) {
                     begun = true;
                     while (!a.abandoned()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
                   }}},
                 {.farewell_seconds = 0.2});
  Client client(server.port());
  client.say("GET /forever HTTP/1.1\r\nHost: x\r\n\r\n");
  while (!begun) std::this_thread::yield();
  auto begin = std::chrono::steady_clock::now();
  server.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace cohort::http
