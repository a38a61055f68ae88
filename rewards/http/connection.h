// One connection: requests read within their bounds, answers written.
#pragma once
#include <utility>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <optional>

#include "rewards/http/server.h"

namespace cohort::http {

class Connection : public Answer {
 public:
  /// `ending`: the service is to end, no further request is read; `over`: now.
  Connection(boost::asio::ip::tcp::socket socket, const ServerOptions& options, const std::atomic<bool>& ending,
             const std::atomic<bool>& over);

  /// The next request; none where the client has gone, sent nothing in time, or sent what has been refused.
  std::optional<Request> read();
  /// Another request may follow on this connection.
  bool goes_on() const { return keep_alive_ && !failed_; }

  void send(int status, std::string_view content_type, std::string_view body) override;
  void start(int status, std::string_view content_type) override;
  void write(std::string_view piece) override;
  bool offer(std::string_view piece) override;
  bool abandoned() override;
  int open_socket() override;
  /// Ends what start began.
  void finish();
  bool answered() const { return answered_; }
  /// A refusal, with more header lines ("Allow: GET\r\n").
  void refuse(const Error& error, const std::string& headers = "");
  /// Says that nothing more comes and waits for the client to see it.
  void close();

 private:
  enum class Wait { ready, late, ending };
  Wait wait_for(short event, double seconds, bool idle = false);
  bool receive();
  ssize_t send_some(std::string_view bytes);
  void write_all(std::string_view bytes);
  void head(int status, std::string_view content_type, const std::string& headers);

  boost::asio::ip::tcp::socket socket_;
  const ServerOptions& options_;
  const std::atomic<bool>&ending_, &over_;
  std::string pending_;               // received and not yet read
  std::string unsent_;                // offered and not yet taken
  std::atomic<bool> failed_ = false;  // abandoned() may be asked by another thread
  bool keep_alive_ = true, answered_ = false, streaming_ = false, head_only_ = false;
  bool is_unreadable_ = false;  // what came is no HTTP
};

}  // namespace cohort::http
