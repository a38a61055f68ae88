// The HTTP service of the program: HTTP/1.1 on one port, a thread a connection, so that a route reads from top to
// bottom and may block. Goals: bounds on everything a client sends, answers in OpenAI's error form, an orderly end.
// Non-goals: TLS, HTTP/2, multipart bodies.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace cohort::http {

struct Request {
  std::string method;                          // in capitals
  std::string path;                            // without the query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // ≤ ServerOptions::max_body
};

/// A refusal: status 400 … 503 and OpenAI's {"error": {"message", "type", "param", "code"}}.
struct Error : std::runtime_error {
  Error(int status, const std::string& message, std::string param = "")
      : std::runtime_error(message), status(status), param(std::move(param)) {}
  int status;
  std::string param;  // the field that is at fault; empty: none
};
std::string error_body(const Error& error);

/// What answers one request: one send, or one start and any number of writes.
class Answer {
 public:
  virtual ~Answer() = default;
  virtual void send(int status, std::string_view content_type, std::string_view body) = 0;
  /// A body that comes in pieces (server-sent events).
  virtual void start(int status, std::string_view content_type) = 0;
  virtual void write(std::string_view piece) = 0;
  /// As write, but waits for nobody: what the client does not take is kept and goes before what follows. False while
  /// something is kept; an empty piece tries again.
  virtual bool offer(std::string_view piece) = 0;
  /// Nobody reads any more, or the service must end now: whatever runs for this request may stop.
  virtual bool abandoned() = 0;
  /// The client's socket; −1 where nobody reads any more, or the service must end now.
  virtual int open_socket() = 0;
};
/// Which of many answers are abandoned, by one look at all sockets.
std::vector<bool> abandoned(std::span<Answer* const> answers);

struct Route {
  std::string method, path;
  std::function<void(const Request&, Answer&)> handle;  // may throw Error; what else it throws becomes a 500
  bool open = false;                                    // also without a key
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;                // 0: any free one
  std::vector<std::string> keys;  // one of them is wanted as "Authorization: Bearer KEY"; empty: none
  size_t max_connections = 1024;  // more are answered 503
  size_t max_body = 8 << 20;      // bytes
  size_t max_header = 64 << 10;   // bytes
  size_t max_header_lines = 200;  //
  double request_seconds = 30;    // from the first byte of a request to its last
  double idle_seconds = 75;       // between two requests of a connection
  double write_seconds = 30;      // that a client may take none of its answer
  double farewell_seconds = 30;   // that running requests are given once the service is to end
};

/// The keys of a file, one a line. Throws UsageError where it is unreadable or holds none.
std::vector<std::string> read_keys(const std::string& file);

/// Throws UsageError where `host` is not this machine alone and no key is wanted, unless `insecure`.
void expect_safe(const ServerOptions& options, bool insecure);

class Server {
 public:
  /// Takes the port; throws std::runtime_error where that fails, UsageError for a host that has no address.
  explicit Server(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;

  int port() const;
  /// Serves until `stop` says so, then accepts nothing more and returns when what runs has ended.
  void run(std::vector<Route> routes, const std::function<bool()>& stop);

 private:
  struct Listener;
  ServerOptions options_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace cohort::http
