// Many clients of a served model at once, against the same requests in the engine alone: tokens a second of both, by
// turns, and the processor time that the clients took themselves.
//   serve_rate MODEL [CLIENTS=256] [SLOTS=64] [PROMPT=192] [TOKENS=64] [ROUNDS=3] [THREADS=cores]
// The clients are one process with one thread, forked before anything else runs: plain sockets and epoll, streams read
// to their end and counted. Prints one JSON object; times of clients are those of the last round.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "policy/kernels/philox.h"
#include "rollout/service_routes.h"

namespace cohort {
namespace {

using Clock = std::chrono::steady_clock;

struct Load {
  std::string model;
  int clients = 256, slots = 64, prompt = 192, tokens = 64, rounds = 3, threads = usable_cores();
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}
double processor_seconds(int who) {
  rusage used{};
  getrusage(who, &used);
  return double(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * double(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}
double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<int32_t> prompt_of(const Load& load, int vocab, int round, int client) {
  std::vector<int32_t> ids;
  for (int i = 0; i < load.prompt; ++i)
    ids.push_back(int32_t(philox({uint32_t(i), uint32_t(client), uint32_t(round), 0}, {7, 7})[0] % uint32_t(vocab)));
  return ids;
}

// ---- The clients' process.

struct Order {  // what the clients are told for each round
  int port = 0, vocab = 0, round = 0;
};
struct Outcome {  // and what they tell
  double seconds = 0, processor = 0;
  double first_done = 0, last_done = 0;                 // seconds after the start
  double first_token_median = 0, first_token_last = 0;  //
  double silence_median = 0, silence_longest = 0;       // each client's longest between two pieces, from its first on
  int tokens = 0, failed = 0;
};

int connect_to(int port) {
  const int socket_number = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET, address.sin_port = htons(uint16_t(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(socket_number, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? socket_number : -1;
}

void ask(int socket_number, const std::vector<int32_t>& prompt, int tokens, int seed) {
  const std::string body = nlohmann::json{{"prompt", prompt}, {"max_tokens", tokens}, {"ignore_eos", true},
                                          {"stream", true},   {"seed", seed},         {"return_token_ids", true}}
                               .dump();
  const std::string text = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
                           std::to_string(body.size()) + "\r\n\r\n" + body;
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t count = ::send(socket_number, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;
    sent += size_t(count);
  }
}

/// Tokens of a stream's events, from their token_ids.
int count_tokens(const std::string& heard) {
  int tokens = 0;
  for (size_t at = 0; (at = heard.find("\"token_ids\":[", at)) != std::string::npos;) {
    at += 13;
    const size_t end = heard.find(']', at);
    if (end != at)
      tokens += 1 + int(std::count(heard.begin() + std::ptrdiff_t(at), heard.begin() + std::ptrdiff_t(end), ','));
  }
  return tokens;
}

struct Client {
  int socket_number = -1;
  std::string heard;
  double first = 0, last = 0, silence = 0;  // seconds after the start; the longest between two pieces
};

/// Takes what has come; false at the stream's end.
bool hear(Client& client, Clock::time_point start) {
  char piece[64 << 10];
  const ssize_t count = recv(client.socket_number, piece, sizeof piece, 0);
  if (count <= 0) return false;
  const double now = seconds_since(start);
  const bool has_begun = client.first > 0;
  client.heard.append(piece, size_t(count));
  if (has_begun) client.silence = std::max(client.silence, now - client.last);
  if (!has_begun && client.heard.find("data: ") != std::string::npos) client.first = now;
  client.last = now;
  return true;
}

void add_times(const std::vector<Client>& clients, Outcome& outcome) {
  std::vector<double> firsts, lasts, silences;
  for (const Client& client : clients)
    firsts.push_back(client.first), lasts.push_back(client.last), silences.push_back(client.silence);
  outcome.first_done = *std::min_element(lasts.begin(), lasts.end());
  outcome.last_done = *std::max_element(lasts.begin(), lasts.end());
  outcome.first_token_median = median(firsts), outcome.silence_median = median(silences);
  outcome.first_token_last = *std::max_element(firsts.begin(), firsts.end());
  outcome.silence_longest = *std::max_element(silences.begin(), silences.end());
}

Outcome open_all(const Load& load, const Order& order) {
  Outcome outcome;
  const double before = processor_seconds(RUSAGE_SELF);
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < load.clients; ++i) prompts.push_back(prompt_of(load, order.vocab, order.round, i));
  std::vector<Client> clients(static_cast<size_t>(load.clients));
  const int watch = epoll_create1(0);
  const auto start = Clock::now();
  for (int i = 0; i < load.clients; ++i) {
    Client& client = clients[size_t(i)];
    client.socket_number = connect_to(order.port);
    epoll_event wanted{.events = EPOLLIN, .data = {.ptr = &client}};
    epoll_ctl(watch, EPOLL_CTL_ADD, client.socket_number, &wanted);
    ask(client.socket_number, prompts[size_t(i)], load.tokens, i);
  }
  std::vector<epoll_event> events(clients.size());
  for (int open = load.clients; open > 0;) {
    const int count = epoll_wait(watch, events.data(), int(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      Client& client = *static_cast<Client*>(events[size_t(i)].data.ptr);
      if (hear(client, start)) continue;
      close(client.socket_number), --open;
    }
  }
  close(watch);
  outcome.seconds = seconds_since(start);
  outcome.processor = processor_seconds(RUSAGE_SELF) - before;
  add_times(clients, outcome);
  for (const Client& client : clients) {
    outcome.tokens += count_tokens(client.heard);
    outcome.failed += client.heard.find("[DONE]") == std::string::npos;
  }
  return outcome;
}

/// The child: answers every order with an outcome until no more come.
[[noreturn]] void be_the_clients(const Load& load, int orders, int outcomes) {
  for (Order order; read(orders, &order, sizeof order) == sizeof order;) {
    const Outcome outcome = open_all(load, order);
    if (write(outcomes, &outcome, sizeof outcome) != sizeof outcome) break;
  }
  _exit(0);
}

// ---- The service's process.

/// Tokens a second, by the clock and by the processor time of this process, which other programs disturb less.
struct Rate {
  std::vector<double> clock, processor;
  void add(double tokens, double seconds, double processor_seconds) {
    clock.push_back(tokens / seconds), processor.push_back(tokens / processor_seconds);
  }
};

void run_offline(const Load& load, const LoadedModel& loaded, const Compute& compute, int round, Rate& rate) {
  Engine engine(loaded.model, compute, loaded.tokenizer.get(), {.max_slots = load.slots}, load.prompt + load.tokens);
  for (int i = 0; i < load.clients; ++i)
    engine.submit({.id = i,
                   .prompt = prompt_of(load, loaded.model.spec.vocab, round, i),
                   .seed = uint64_t(i),
                   .sampling = {.max_completion_length = load.tokens}});
  const auto start = Clock::now();
  const double before = processor_seconds(RUSAGE_SELF);
  while (engine.next_completed()) {
  }
  rate.add(double(engine.generated_tokens()), seconds_since(start), processor_seconds(RUSAGE_SELF) - before);
}

Outcome served(const Load& load, LoadedModel& loaded, const Compute& compute, int round, int orders, int outcomes) {
  Service service(loaded, compute,
                  {.engine = {.max_slots = load.slots}, .max_model_len = load.prompt + load.tokens, .name = "model"});
  http::Server server({.port = 0});
  std::atomic<bool> stop = false;
  std::thread listening([&] { server.run(model_routes(service), [&] { return stop.load(); }); });
  const Order order{server.port(), loaded.model.spec.vocab, round};
  Outcome outcome;
  if (write(orders, &order, sizeof order) != sizeof order || read(outcomes, &outcome, sizeof outcome) != sizeof outcome)
    throw std::runtime_error("the clients' process has ended");
  stop = true;
  listening.join();
  return outcome;
}

void measure(const Load& load, int orders, int outcomes) {
  const Compute compute(load.threads);
  LoadedModel loaded = load_with_tokenizer(load.model, compute, true, Weights::packed);
  extend_rope(loaded.model, load.prompt + load.tokens);
  Rate alone, behind_http;
  std::vector<double> clients;
  Outcome last;
  for (int round = 0; round < load.rounds; ++round) {
    run_offline(load, loaded, compute, round, alone);
    const double before = processor_seconds(RUSAGE_SELF);
    last = served(load, loaded, compute, round, orders, outcomes);
    behind_http.add(last.tokens, last.seconds, processor_seconds(RUSAGE_SELF) - before);
    clients.push_back(last.processor / last.seconds);
    std::fprintf(stderr, "round %d: offline %.0f, served %.0f tokens/s; by processor time %.0f, %.0f\n", round + 1,
                 alone.clock.back(), behind_http.clock.back(), alone.processor.back(), behind_http.processor.back());
    if (last.failed || last.tokens != load.clients * load.tokens)
      throw std::runtime_error(std::to_string(last.failed) + " clients failed, " + std::to_string(last.tokens) +
                               " tokens came");
  }
  const nlohmann::ordered_json result = {
      {"model", load.model},
      {"clients", load.clients},
      {"slots", load.slots},
      {"prompt_tokens", load.prompt},
      {"completion_tokens", load.tokens},
      {"threads", load.threads},
      {"offline_tokens_per_second", alone.clock},
      {"served_tokens_per_second", behind_http.clock},
      {"ratio_of_medians", median(behind_http.clock) / median(alone.clock)},
      {"offline_tokens_per_processor_second", alone.processor},
      {"served_tokens_per_processor_second", behind_http.processor},
      {"ratio_by_processor_time", median(behind_http.processor) / median(alone.processor)},
      {"clients_share_of_a_core", median(clients)},
      {"first_client_done_seconds", last.first_done},
      {"last_client_done_seconds", last.last_done},
      {"first_token_seconds_median", last.first_token_median},
      {"first_token_seconds_last", last.first_token_last},
      {"longest_silence_seconds_median", last.silence_median},
      {"longest_silence_seconds", last.silence_longest}};
  std::printf("%s\n", result.dump(2).c_str());
}

}  // namespace
}  // namespace cohort

int main(int argc, char** argv) {
  cohort::Load load;
  if (argc < 2) {
    std::fprintf(stderr, "serve_rate MODEL [CLIENTS] [SLOTS] [PROMPT] [TOKENS] [ROUNDS] [THREADS]\n");
    return 2;
  }
  load.model = argv[1];
  int* numbers[] = {&load.clients, &load.slots, &load.prompt, &load.tokens, &load.rounds, &load.threads};
  for (int i = 2; i < std::min(argc, 8); ++i) *numbers[i - 2] = std::max(1, std::atoi(argv[i]));
  int orders[2], outcomes[2];
  if (pipe(orders) != 0 || pipe(outcomes) != 0) return 1;
  const pid_t clients = fork();
  if (clients == 0) {
    close(orders[1]), close(outcomes[0]);
    cohort::be_the_clients(load, orders[0], outcomes[1]);
  }
  close(orders[0]), close(outcomes[1]);
  int status = 0;
  try {
    cohort::measure(load, orders[1], outcomes[0]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "serve_rate: %s\n", error.what());
    status = 1;
  }
  close(orders[1]);
  waitpid(clients, nullptr, 0);
  return status;
}
