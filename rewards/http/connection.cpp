#include "rewards/http/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

namespace cohort::http {
namespace {

namespace beast = boost::beast::http;
using Clock = std::chrono::steady_clock;
using Parser = beast::request_parser<beast::string_body>;

constexpr double kGlance = 0.2;  // seconds between two looks at whether the service is to end

double seconds_until(Clock::time_point when) {
  return std::chrono::duration<double>(when - Clock::now()).count();
}
Clock::time_point after(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

Request request_of(const Parser::value_type& message) {
  Request request;
  request.method = std::string(message.method_string());
  std::string target(message.target());
  request.path = target.substr(0, target.find('?'));
  for (const auto& field : message) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    request.headers[name] = std::string(field.value());
  }
  request.body = message.body();
  return request;
}

bool wants_continue(const Parser::value_type& message) {
  return boost::beast::iequals(message[beast::field::expect], "100-continue");
}

Error error_of(const boost::system::error_code& code, const ServerOptions& options) {
  if (code == beast::error::header_limit)
    return {431, "the header is longer than " + std::to_string(options.max_header) + " bytes"};
  if (code == beast::error::body_limit)
    return {413, "the body is longer than " + std::to_string(options.max_body) + " bytes"};
  return {400, "this is no HTTP request: " + code.message()};
}

}  // namespace

Connection::Connection(boost::asio::ip::tcp::socket socket, const ServerOptions& options,
                       const std::atomic<bool>& ending, const std::atomic<bool>& over)
    : socket_(std::move(socket)), options_(options), ending_(ending), over_(over) {
  boost::system::error_code ignored;
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
}

/// `idle`: between two requests, where the end of the service ends the wait.
Connection::Wait Connection::wait_for(short event, double seconds, bool idle) {
  for (Clock::time_point end = after(seconds); seconds_until(end) > 0;) {
    if (over_ || (idle && ending_)) return Wait::ending;
    pollfd wanted{.fd = socket_.native_handle(), .events = event, .revents = 0};
    if (poll(&wanted, 1, int(1000 * std::min(kGlance, std::max(0.001, seconds_until(end))))) > 0) return Wait::ready;
  }
  return Wait::late;
}

bool Connection::receive() {
  char piece[16 << 10];
  ssize_t count = recv(socket_.native_handle(), piece, sizeof piece, 0);
  if (count > 0) pending_.append(piece, size_t(count));
  return count > 0;
}

std::optional<Request> Connection::read() {
  answered_ = false;
  if (pending_.empty() && (wait_for(POLLIN, options_.idle_seconds, true) != Wait::ready || !receive())) {
    failed_ = true;
    return std::nullopt;
  }
  Parser parser;
  parser.header_limit(uint32_t(options_.max_header));
  parser.body_limit(options_.max_body);
  parser.eager(true);
  bool continued = false;
  for (Clock::time_point end = after(options_.request_seconds); !parser.is_done();) {
    boost::system::error_code code;
    pending_.erase(0, parser.put(boost::asio::buffer(pending_), code));
    if (code && code != beast::error::need_more) {
      is_unreadable_ = true;
      refuse(error_of(code, options_));
      failed_ = true;
      return std::nullopt;
    }
    if (parser.is_done()) break;
    if (parser.is_header_done() && !continued && wants_continue(parser.get())) {
      continued = true;
      write_all("HTTP/1.1 100 Continue\r\n\r\n");
    }
    Wait waited = wait_for(POLLIN, seconds_until(end));
    if (waited == Wait::late)
      refuse({408, "the request was not complete " + std::to_string(int(options_.request_seconds)) +
                       " seconds after its first byte"});
    if (waited != Wait::ready || !receive()) {
      failed_ = true;
      return std::nullopt;
    }
  }
  keep_alive_ = parser.keep_alive();
  head_only_ = parser.get().method() == beast::verb::head;
  size_t lines = size_t(std::distance(parser.get().begin(), parser.get().end()));
  if (lines > options_.max_header_lines) {
    refuse({431, "the header has " + std::to_string(lines) + " lines, at most " +
                     std::to_string(options_.max_header_lines) + " are read"});
    failed_ = true;
    return std::nullopt;
  }
  return request_of(parser.get());
}

/// Bytes that the socket took without waiting; 0: none for now.
ssize_t Connection::send_some(std::string_view bytes) {
  const ssize_t count = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0 && errno != EAGAIN && errno != EINTR) failed_ = true;
  return std::max<ssize_t>(0, count);
}

void Connection::write_all(std::string_view bytes) {
  while (!failed_ && !bytes.empty()) {
    const ssize_t count = send_some(bytes);
    bytes.remove_prefix(size_t(count));
    if (!failed_ && count == 0 && wait_for(POLLOUT, options_.write_seconds) != Wait::ready) failed_ = true;
  }
}

void Connection::head(int status, std::string_view content_type, const std::string& headers) {
  answered_ = true;
  keep_alive_ = keep_alive_ && !ending_;
  std::string text = "HTTP/1.1 " + std::to_string(status) + " " +
                     std::string(beast::obsolete_reason(beast::int_to_status(unsigned(status)))) + "\r\nContent-Type: ";
  text += std::string(content_type) + "\r\nConnection: " + (keep_alive_ ? "keep-alive" : "close") + "\r\n" + headers;
  write_all(text + "\r\n");
}

void Connection::send(int status, std::string_view content_type, std::string_view body) {
  head(status, content_type, "Content-Length: " + std::to_string(body.size()) + "\r\n");
  if (!head_only_) write_all(body);
}

void Connection::start(int status, std::string_view content_type) {
  streaming_ = true;
  head(status, content_type, "Transfer-Encoding: chunked\r\nCache-Control: no-cache\r\n");
}

static void append_chunk(std::string& text, std::string_view piece) {
  if (piece.empty()) return;  // an empty chunk would be the last
  char size[20];
  snprintf(size, sizeof size, "%zx\r\n", piece.size());
  (text += size).append(piece) += "\r\n";
}

void Connection::write(std::string_view piece) {
  append_chunk(unsent_, piece);
  write_all(std::exchange(unsent_, {}));
}

bool Connection::offer(std::string_view piece) {
  append_chunk(unsent_, piece);
  if (!failed_ && !unsent_.empty()) unsent_.erase(0, size_t(send_some(unsent_)));
  return unsent_.empty();
}

void Connection::finish() {
  if (streaming_) write_all("0\r\n\r\n");
  streaming_ = false;
}

int Connection::open_socket() {
  return failed_ || over_ ? -1 : socket_.native_handle();
}

bool Connection::abandoned() {
  Answer* const self = this;
  return http::abandoned({&self, 1})[0];
}

std::vector<bool> abandoned(std::span<Answer* const> answers) {
  std::vector<pollfd> sockets;
  for (Answer* answer : answers) sockets.push_back({.fd = answer->open_socket(), .events = POLLRDHUP, .revents = 0});
  poll(sockets.data(), sockets.size(), 0);
  std::vector<bool> gone;
  for (const pollfd& s : sockets) gone.push_back(s.fd < 0 || (s.revents & (POLLRDHUP | POLLHUP | POLLERR)));
  return gone;
}

void Connection::refuse(const Error& error, const std::string& headers) {
  if (answered_) {  // half an answer is out: the client sees it end early
    failed_ = true;
    return;
  }
  std::string body = error_body(error);
  // A request that was not read to its end leaves nothing that the next could be told from.
  if (is_unreadable_ || error.status == 408 || error.status == 413 || error.status == 431 || error.status == 503)
    keep_alive_ = false;
  head(error.status, "application/json", headers + "Content-Length: " + std::to_string(body.size()) + "\r\n");
  if (!head_only_) write_all(body);
}

void Connection::close() {
  boost::system::error_code ignored;
  socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  // Unread bytes would make the close a reset that can destroy the answer on its way: they are read for a second.
  for (Clock::time_point end = after(1); seconds_until(end) > 0;) {
    pending_.clear();
    if (wait_for(POLLIN, seconds_until(end)) != Wait::ready || !receive()) break;
  }
  socket_.close(ignored);
}

}  // namespace cohort::http
