#include "rewards/http/server.h"

#include <utility>

#include <poll.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <fstream>
#include <list>
#include <nlohmann/json.hpp>
#include <thread>

#include "configs/error.h"
#include "rewards/http/connection.h"

namespace cohort::http {
namespace {

using boost::asio::ip::tcp;

const char* type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 429:
      return "rate_limit_error";
    case 500:
    case 503:
      return "server_error";
    default:
      return "invalid_request_error";
  }
}

/// Takes the same time for every key of a length.
bool equal(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

void expect_key(const Request& request, const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  auto found = request.headers.find("authorization");
  std::string given = found == request.headers.end() ? "" : found->second;
  bool known = false;
  for (const std::string& key : keys) known |= equal(given, "Bearer " + key);
  if (!known)
    throw Error(401,
                given.empty() ? "no key was given: send it as 'Authorization: Bearer KEY'" : "this key is not known");
}

/// The route of a request. Throws 404 or 405; `allow` then says what the path takes.
const Route& find_route(const std::vector<Route>& routes, const Request& request, std::string& allow) {
  for (const Route& route : routes) {
    if (route.path != request.path) continue;
    if (route.method == request.method) return route;
    allow += (allow.empty() ? "" : ", ") + route.method;
  }
  if (allow.empty()) throw Error(404, "there is nothing at " + request.path);
  throw Error(405, request.path + " takes " + allow + ", not " + request.method);
}

void answer(const std::vector<Route>& routes, const std::vector<std::string>& keys, const Request& request,
            Connection& connection) {
  std::string allow;
  try {
    const Route& route = find_route(routes, request, allow);
    if (!route.open) expect_key(request, keys);
    route.handle(request, connection);
    connection.finish();
  } catch (const Error& error) {
    connection.refuse(error, allow.empty() ? "" : "Allow: " + allow + "\r\n");
  } catch (const std::exception& error) {
    connection.refuse({500, error.what()});
  }
}

/// Threads of connections that have ended are joined as others come.
struct Worker {
  std::atomic<bool> ended = false;
  std::thread thread;
};
void join_ended(std::list<Worker>& workers) {
  workers.remove_if([](Worker& worker) {
    if (!worker.ended) return false;
    worker.thread.join();
    return true;
  });
}

}  // namespace

std::string error_body(const Error& error) {
  nlohmann::ordered_json body = {
      {"message", error.what()},
      {"type", type_of(error.status)},
      {"param", error.param.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(error.param)},
      {"code", error.status}};
  return nlohmann::ordered_json{{"error", body}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> read_keys(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw UsageError("the key file " + file + " cannot be read");
  std::vector<std::string> keys;
  for (std::string line; std::getline(in, line);) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    line.erase(0, line.find_first_not_of(" \t"));
    if (!line.empty()) keys.push_back(line);
  }
  if (keys.empty()) throw UsageError("the key file " + file + " holds no key: write one a line");
  return keys;
}

static tcp::endpoint endpoint_of(boost::asio::io_context& context, const ServerOptions& options) {
  boost::system::error_code code;
  auto found = tcp::resolver(context).resolve(options.host, std::to_string(options.port), code);
  if (code || found.empty())
    throw UsageError("host " + options.host + " has no address here (" + code.message() + "): give one as 127.0.0.1");
  return found.begin()->endpoint();
}

void expect_safe(const ServerOptions& options, bool insecure) {
  boost::asio::io_context context;
  if (insecure || !options.keys.empty() || endpoint_of(context, options).address().is_loopback()) return;
  throw UsageError("host " + options.host +
                   " can be reached from other machines and no key is wanted: give --api-key-file, or --insecure");
}

struct Server::Listener {
  boost::asio::io_context context;
  tcp::acceptor acceptor{context};
};

Server::Server(ServerOptions options) : options_(std::move(options)), listener_(std::make_unique<Listener>()) {
  tcp::endpoint endpoint = endpoint_of(listener_->context, options_);
  try {
    listener_->acceptor.open(endpoint.protocol());
    listener_->acceptor.set_option(tcp::acceptor::reuse_address(true));
    listener_->acceptor.bind(endpoint);
    listener_->acceptor.listen();
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("port " + std::to_string(options_.port) + " of " + options_.host +
                             " cannot be taken: " + error.code().message());
  }
}
Server::~Server() = default;

int Server::port() const {
  return listener_->acceptor.local_endpoint().port();
}

void Server::run(std::vector<Route> routes, const std::function<bool()>& stop) {
  std::atomic<bool> ending = false, over = false;
  std::list<Worker> workers;
  while (!stop()) {
    join_ended(workers);
    pollfd wanted{.fd = listener_->acceptor.native_handle(), .events = POLLIN, .revents = 0};
    if (poll(&wanted, 1, 100) <= 0) continue;
    boost::system::error_code code;
    tcp::socket socket = listener_->acceptor.accept(code);
    if (code) {  // out of file descriptors, or the client has gone already
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      continue;
    }
    bool full = workers.size() >= options_.max_connections;
    if (workers.size() >= 2 * options_.max_connections) continue;  // not even a refusal
    Worker& worker = workers.emplace_back();
    worker.thread = std::thread([&, full, socket = std::move(socket)]() mutable {
      Connection connection(std::move(socket), options_, ending, over);
      if (full)
        connection.refuse({503, "all " + std::to_string(options_.max_connections) + " connections are taken"});
      else
        while (std::optional<Request> request = connection.read()) {
          answer(routes, options_.keys, *request, connection);
          if (!connection.goes_on()) break;
        }
      connection.close();
      worker.ended = true;
    });
  }
  listener_->acceptor.close();
  ending = true;
  auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.farewell_seconds);
  while (!workers.empty() && std::chrono::steady_clock::now() < end) {
    join_ended(workers);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  over = true;
  for (Worker& worker : workers) worker.thread.join();
}

}  // namespace cohort::http
