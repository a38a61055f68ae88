#include "rewards/plugins/http.h"

#include <algorithm>
#include <utility>  // boost/asio/awaitable.hpp of Boost 1.74 uses std::exchange without it

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <optional>
#include <stdexcept>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;

constexpr uint64_t kLargestAnswer = 64U << 20U;  // bytes

asio::awaitable<HttpAnswer> post(HttpUrl url, std::string body, std::chrono::nanoseconds timeout) {
  const auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  beast::tcp_stream stream(executor);
  const auto places = co_await resolver.async_resolve(url.host, url.port, use_awaitable);
  stream.expires_after(timeout);
  co_await stream.async_connect(places, use_awaitable);
  http::request<http::string_body> request(http::verb::post, url.target, 11);
  request.set(http::field::host, url.host + ":" + url.port);
  request.set(http::field::content_type, "application/json");
  request.set(http::field::user_agent, "cohort");
  request.set(http::field::connection, "close");
  request.body() = std::move(body);
  request.prepare_payload();
  co_await http::async_write(stream, request, use_awaitable);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kLargestAnswer);
  co_await http::async_read(stream, buffer, parser, use_awaitable);
  co_return HttpAnswer{int(parser.get().result_int()), std::move(parser.get().body())};
}

}  // namespace

HttpUrl parse_http_url(std::string_view text) {
  const auto wrong = [&](const std::string& what) {
    return UsageError("the address " + excerpt(text, 200) + " " + what + ", expected http://HOST[:PORT][/PATH]");
  };
  if (text.starts_with("https://")) throw wrong("wants TLS, which is not supported: put a local proxy in between");
  if (!text.starts_with("http://")) throw wrong("is no http address");
  const std::string_view rest = text.substr(7);
  const size_t slash = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view place = rest.substr(0, slash);
  HttpUrl url{.port = "80", .target = std::string(rest.substr(slash))};
  if (url.target.empty() || url.target[0] == '?') url.target.insert(0, "/");
  if (std::ranges::any_of(text, [](unsigned char c) { return c <= ' ' || c == 0x7F; }))
    throw wrong("holds white space");
  const size_t colon = place.rfind(':');
  if (colon != std::string_view::npos && place.find(']', colon) == std::string_view::npos) {
    url.port = place.substr(colon + 1);
    place = place.substr(0, colon);
  }
  const bool digits = !url.port.empty() && url.port.size() <= 5 &&
                      std::ranges::all_of(url.port, [](unsigned char c) { return c >= '0' && c <= '9'; });
  if (!digits || std::stoi(url.port) < 1 || std::stoi(url.port) > 65535)
    throw wrong("has the port " + excerpt(url.port));
  if (place.starts_with('[') && place.ends_with(']')) place = place.substr(1, place.size() - 2);  // IPv6
  if (place.empty() || place.find('@') != std::string_view::npos) throw wrong("names no host");
  url.host = place;
  return url;
}

HttpAnswer post_json(const HttpUrl& url, std::string body, std::chrono::duration<double> timeout) {
  asio::io_context context(1);
  std::optional<HttpAnswer> answer;
  std::exception_ptr failure;
  const auto limit = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::min(timeout, std::chrono::duration<double>(1e8)));  // years: more would overflow
  asio::co_spawn(context, post(url, std::move(body), limit), [&](std::exception_ptr error, HttpAnswer got) {
    failure = std::move(error);
    answer = std::move(got);
  });
  context.run_for(limit + std::chrono::milliseconds(500));  // names are looked up without a deadline of their own
  const std::string place = url.host + ":" + url.port;
  if (!failure && !answer) throw std::runtime_error(place + " did not answer in time");
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const boost::system::system_error& error) {
    if (error.code() == beast::error::timeout) throw std::runtime_error(place + " did not answer in time");
    throw std::runtime_error(place + ": " + error.code().message());
  }
  return std::move(*answer);
}

}  // namespace cohort
