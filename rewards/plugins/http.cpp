#include "rewards/plugins/http.h"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <stdexcept>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kLargestAnswer = 64U << 20U;  // bytes

http::request<http::string_body> request_for(const HttpUrl& url, std::string body, const std::string& key) {
  http::request<http::string_body> request(http::verb::post, url.target, 11);
  request.set(http::field::host, url.host + ":" + url.port);
  request.set(http::field::content_type, "application/json");
  request.set(http::field::user_agent, "cohort");
  request.set(http::field::connection, "close");
  if (!key.empty()) request.set(http::field::authorization, "Bearer " + key);
  request.body() = std::move(body);
  request.prepare_payload();
  return request;
}

// Waits for one asynchronous step: the synchronous ones know no deadline.
template <class Result>
Result wait_for(asio::io_context& context, std::future<Result> step, Clock::time_point deadline) {
  context.restart();
  context.run_until(deadline);
  if (step.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
    throw boost::system::system_error(beast::error::timeout);
  return step.get();
}

HttpAnswer post(const HttpUrl& url, std::string body, Clock::time_point deadline, const std::string& key) {
  asio::io_context context(1);
  asio::ip::tcp::resolver resolver(context);
  asio::ip::tcp::socket socket(context);
  const auto places = wait_for(context, resolver.async_resolve(url.host, url.port, asio::use_future), deadline);
  wait_for(context, asio::async_connect(socket, places, asio::use_future), deadline);
  const auto request = request_for(url, std::move(body), key);
  wait_for(context, http::async_write(socket, request, asio::use_future), deadline);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kLargestAnswer);
  wait_for(context, http::async_read(socket, buffer, parser, asio::use_future), deadline);
  auto& answer = parser.get();
  return {int(answer.result_int()), std::move(answer.body()), std::string(answer[http::field::retry_after])};
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

HttpAnswer post_json(const HttpUrl& url, std::string body, std::chrono::duration<double> timeout,
                     const std::string& key) {
  const auto limit = std::chrono::duration_cast<Clock::duration>(
      std::min(timeout, std::chrono::duration<double>(1e8)));  // years: more would overflow
  const std::string place = url.host + ":" + url.port;
  try {
    return post(url, std::move(body), Clock::now() + limit, key);
  } catch (const boost::system::system_error& error) {
    if (error.code() == beast::error::timeout) throw std::runtime_error(place + " did not answer in time");
    throw std::runtime_error(place + ": " + error.code().message());
  }
}

}  // namespace cohort
