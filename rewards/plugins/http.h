// The one HTTP client: a POST of JSON and its answer, by a deadline.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

namespace cohort {

struct HttpUrl {
  std::string host, port, target;
};

/// "http://HOST[:PORT][/PATH]"; throws UsageError saying what is wrong.
HttpUrl parse_http_url(std::string_view text);

struct HttpAnswer {
  int status = 0;
  std::string body;
  std::string retry_after;  // that header as it stands; empty: none
};

/// Throws std::runtime_error saying what failed: no connection, no whole answer in time, more than 64 MiB.
/// `key`: sent as "Authorization: Bearer KEY"; empty: none.
HttpAnswer post_json(const HttpUrl& url, std::string body, std::chrono::duration<double> timeout,
                     const std::string& key = "");

}  // namespace cohort
