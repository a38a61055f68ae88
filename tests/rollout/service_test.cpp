// OpenAI's routes over a tiny model: forms, refusals, and that the bits are those of offline sampling.
#include <fstream>
#include <set>

#include "rollout/collect.h"
#include "tests/rollout/served_model.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

struct ServiceIntegration : testing::Test {
  Served served{ServiceOptions{.engine = {.max_slots = 8}}};

  Finished offline(std::vector<int32_t> prompt, SamplingConfig sampling, uint64_t seed, int32_t n) {
    Engine engine(served.model(), served.compute(), &served.tokenizer(), {}, 512);
    engine.submit({.prompt = std::move(prompt),
                   .num_completions = n,
                   .seed = seed,
                   .sampling = std::move(sampling),
                   .stop_ids = served.model().spec.stop_ids});
    return std::move(engine.next_completed().value());
  }
  void expect_refused(const std::string& path, const Json& body, const std::string& param, int status = 400) {
    const Reply reply = served.post(path, body);
    EXPECT_EQ(reply.status, status) << body << reply.body;
    const Json error = reply.json().value("error", Json::object());
    EXPECT_EQ(error.value("param", Json()), param.empty() ? Json() : Json(param)) << body << reply.body;
    EXPECT_NE(error.value("message", "").find(param), std::string::npos) << reply.body;
  }
};

Json joined(const std::vector<std::string>& events, const char* part) {
  std::map<int, Json> choices;
  for (const std::string& event : events) {
    if (event == "[DONE]") continue;
    const Json chunk = Json::parse(event);
    for (const Json& choice : chunk["choices"]) {
      Json& whole = choices[choice["index"].get<int>()];
      if (whole.is_null())
        whole = {{"text", ""},
                 {"ids", Json::array()},
                 {"logprobs", Json::array()},
                 {"prompt", choice.value("prompt_token_ids", Json())}};
      const Json text = std::string(part) == "text" ? choice["text"] : choice["delta"].value("content", Json(""));
      whole["text"] = whole["text"].get<std::string>() + text.get<std::string>();
      for (const Json& id : choice.value("token_ids", Json::array())) whole["ids"].push_back(id);
      if (!choice["logprobs"].is_null())
        for (const Json& entry : choice["logprobs"][std::string(part) == "text" ? "token_logprobs" : "content"])
          whole["logprobs"].push_back(entry);
      if (!choice["finish_reason"].is_null()) {
        EXPECT_FALSE(whole.contains("finish")) << "finished twice";
        whole["finish"] = choice["finish_reason"];
      }
    }
  }
  Json list = Json::array();
  for (auto& [index, whole] : choices) list.push_back(whole);
  return list;
}

TEST_F(ServiceIntegration, CompletionsHaveTheBitsOfOfflineSampling) {
  const std::vector<int32_t> prompt = byte_ids(20, 3);
  const Reply reply = served.post("/v1/completions", {{"prompt", prompt},
                                                      {"n", 3},
                                                      {"seed", 77},
                                                      {"max_tokens", 30},
                                                      {"temperature", 0.8},
                                                      {"top_k", 50},
                                                      {"min_p", 0.01},
                                                      {"stop", {"e", "\n"}},
                                                      {"logprobs", 0},
                                                      {"return_token_ids", true}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json body = reply.json();
  SamplingConfig sampling{.temperature = 0.8, .top_k = 50, .min_p = 0.01, .max_completion_length = 30};
  sampling.stop = {"e", "\n"};
  const Finished expected = offline(prompt, sampling, 77, 3);
  ASSERT_EQ(body["choices"].size(), 3u);
  int64_t tokens = 0;
  for (size_t i = 0; i < 3; ++i) {
    const Json& choice = body["choices"][i];
    const Completion& c = expected.completions[i];
    EXPECT_EQ(choice["token_ids"], Json(c.tokens));
    EXPECT_EQ(choice["prompt_token_ids"], Json(prompt));
    EXPECT_EQ(choice["text"], expected.texts[i]);
    EXPECT_EQ(choice["finish_reason"], to_string(c.finish));
    EXPECT_EQ(choice["logprobs"]["token_logprobs"].get<std::vector<float>>(), c.logprobs);
    EXPECT_EQ(choice["logprobs"]["tokens"].size(), c.tokens.size());
    EXPECT_EQ(choice["logprobs"]["text_offset"].size(), c.tokens.size());
    tokens += int64_t(c.tokens.size());
  }
  EXPECT_EQ(body["usage"], (Json{{"prompt_tokens", 20}, {"completion_tokens", tokens}, {"total_tokens", 20 + tokens}}));
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["policy_version"], 0);
}

TEST_F(ServiceIntegration, AStreamIsTheWholeAnswerInPieces) {
  for (const char* path : {"/v1/completions", "/v1/chat/completions"})
    for (const Json& stop : {Json(), Json({"ab", "e"})}) {
      const bool is_chat = std::string(path) == "/v1/chat/completions";
      Json ask = {
          {"n", 2}, {"seed", 5}, {"max_tokens", 60}, {"temperature", 1.5}, {"stop", stop}, {"return_token_ids", true}};
      if (is_chat)
        ask.update({{"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"logprobs", true}, {"top_logprobs", 2}});
      else
        ask.update({{"prompt", {"hi", "ho"}}, {"logprobs", 1}});
      const Json whole = served.post(path, ask).json();
      ask["stream"] = true, ask["stream_options"] = {{"include_usage", true}};
      const Reply reply = served.post(path, ask);
      EXPECT_EQ(reply.status, 200) << reply.body;
      EXPECT_NE(reply.head.find("text/event-stream"), std::string::npos);
      const std::vector<std::string> events = reply.events();
      ASSERT_GE(events.size(), 4u);
      EXPECT_EQ(events.back(), "[DONE]");
      EXPECT_EQ(Json::parse(events[events.size() - 2])["usage"], whole["usage"]);
      EXPECT_TRUE(Json::parse(events[0])["usage"].is_null());
      const Json pieces = joined(events, is_chat ? "delta" : "text");
      ASSERT_EQ(pieces.size(), whole["choices"].size());
      for (size_t i = 0; i < pieces.size(); ++i) {
        const Json& choice = whole["choices"][i];
        EXPECT_EQ(pieces[i]["text"], is_chat ? choice["message"]["content"] : choice["text"]);
        EXPECT_EQ(pieces[i]["ids"], choice["token_ids"]);
        EXPECT_EQ(pieces[i]["prompt"], choice["prompt_token_ids"]);
        EXPECT_EQ(pieces[i]["finish"], choice["finish_reason"]);
        EXPECT_EQ(pieces[i]["logprobs"], choice["logprobs"][is_chat ? "content" : "token_logprobs"]);
      }
    }
}

TEST_F(ServiceIntegration, ChatsGoThroughTheTemplate) {
  const Json messages = {{{"role", "system"}, {"content", "be short"}}, {{"role", "user"}, {"content", "hi"}}};
  const std::vector<int32_t> prompt = encode_prompt(served.tokenizer(), {{"system", "be short"}, {"user", "hi"}});
  Json ask = {{"messages", messages}, {"max_completion_tokens", 4}, {"seed", 1}, {"return_token_ids", true}};
  const Json whole = served.post("/v1/chat/completions", ask).json();
  EXPECT_EQ(whole["choices"][0]["prompt_token_ids"], Json(prompt)) << whole;
  EXPECT_EQ(whole["choices"][0]["message"]["role"], "assistant");
  ask["messages"][1]["content"] = {{{"type", "text"}, {"text", "hi"}}};
  EXPECT_EQ(served.post("/v1/chat/completions", ask).json()["choices"], whole["choices"]);
  EXPECT_EQ(served.post("/tokenize", {{"messages", messages}}).json()["tokens"], Json(prompt));
  ask["messages"][1]["content"] = {{{"type", "image_url"}, {"image_url", "x"}}};
  expect_refused("/v1/chat/completions", ask, "messages");
  // Without a field the budget is what the context leaves.
  Json whole_context = {{"messages", messages}, {"ignore_eos", true}, {"seed", 1}};
  const Json filled = served.post("/v1/chat/completions", whole_context).json();
  EXPECT_EQ(filled["usage"]["total_tokens"], 512) << filled;
}

const std::vector<std::pair<const char*, Json>>& routes_and_prompts() {
  static const std::vector<std::pair<const char*, Json>> routes = {
      {"/v1/completions", {{"prompt", "hi"}}},
      {"/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "hi"}}}}}}};
  return routes;
}

TEST_F(ServiceIntegration, EverySettingIsHonouredOnBothRoutes) {
  const std::map<int32_t, double> biases = {{65, 8}, {66, 8.5}, {67, 8.25}, {68, -100}};
  const Json likely = named_biases(biases);
  const std::vector<std::pair<Json, SamplingConfig>> settings = {
      {Json::object(), {}},
      {{{"temperature", 0}}, {.temperature = 0}},
      {{{"temperature", 0.25}}, {.temperature = 0.25}},
      {{{"top_p", 0.2}}, {.top_p = 0.2}},
      {{{"top_k", 3}}, {.top_k = 3}},
      {{{"top_k", -1}, {"min_p", 0.5}}, {.min_p = 0.5}},
      {{{"repetition_penalty", 8}}, {.repetition_penalty = 8}},
      {{{"logit_bias", likely}}, {.logit_bias = biases}},
      {{{"logit_bias", likely}, {"repetition_penalty", 2}}, {.repetition_penalty = 2, .logit_bias = biases}},
      {{{"logit_bias", likely}, {"presence_penalty", 2}}, {.presence_penalty = 2, .logit_bias = biases}},
      {{{"logit_bias", likely}, {"frequency_penalty", 2}}, {.frequency_penalty = 2, .logit_bias = biases}},
      {{{"logit_bias", likely}, {"frequency_penalty", -2}}, {.frequency_penalty = -2, .logit_bias = biases}}};
  for (const auto& [path, prompt] : routes_and_prompts()) {
    const std::vector<int32_t> prompt_ids = prompt.contains("prompt")
                                                ? std::vector<int32_t>{'h', 'i'}
                                                : encode_prompt(served.tokenizer(), {{"user", "hi"}});
    std::set<std::vector<int32_t>> seen;
    for (auto [fields, sampling] : settings) {
      Json ask = prompt;
      ask.update({{"max_tokens", 60}, {"seed", 21}, {"n", 2}, {"return_token_ids", true}});
      ask.update(fields);
      sampling.max_completion_length = 60;
      const Json choices = served.post(path, ask).json()["choices"];
      const Finished expected = offline(prompt_ids, sampling, 21, 2);
      for (size_t i = 0; i < 2; ++i) EXPECT_EQ(choices[i]["token_ids"], Json(expected.completions[i].tokens)) << ask;
      EXPECT_TRUE(seen.insert(expected.completions[0].tokens).second) << ask << " changes nothing";
    }
  }
}

TEST_F(ServiceIntegration, TokensThatEndACompletion) {
  for (const auto& [path, prompt] : routes_and_prompts()) {
    const auto ids = [&, path = path, prompt = prompt](Json more) {
      more.update(prompt);
      more.update({{"max_tokens", 100}, {"seed", 3}, {"temperature", 1.5}, {"return_token_ids", true}});
      const Json choice = served.post(path, more).json()["choices"][0];
      return std::pair(choice["token_ids"].get<std::vector<int32_t>>(), choice["finish_reason"]);
    };
    const auto [free, length] = ids({{"ignore_eos", true}});
    EXPECT_EQ(free.size(), 100u);
    EXPECT_EQ(length, "length");
    const auto [stopped, reason] = ids({{"ignore_eos", true}, {"stop_token_ids", {free[7]}}});
    const auto first = std::find(free.begin(), free.end(), free[7]) - free.begin();
    EXPECT_EQ(stopped, std::vector<int32_t>(free.begin(), free.begin() + first + 1));
    EXPECT_EQ(reason, "stop");
    EXPECT_GE(ids({{"stop_token_ids", {free[7]}}, {"min_tokens", 20}}).first.size(), 20u);
    // The model's own end of text is forced by its bias, and goes unheeded where that is asked for.
    EXPECT_EQ(ids({{"logit_bias", {{"256", 100}}}}), std::pair(std::vector<int32_t>{256}, Json("stop")));
    EXPECT_EQ(ids({{"logit_bias", {{"256", 100}}}, {"ignore_eos", true}}).first, std::vector<int32_t>(100, 256));
    EXPECT_EQ(ids({{"logit_bias", {{"256", 100}}}, {"min_tokens", 9}}).first.size(), 10u);
  }
}

TEST_F(ServiceIntegration, TokensCanBeNamedByTheirIds) {
  for (const auto& [path, prompt] : routes_and_prompts()) {
    const bool is_chat = prompt.contains("messages");
    Json ask = prompt;
    ask.update({{"max_tokens", 5}, {"seed", 3}, {"return_token_ids", true}, {"return_tokens_as_token_ids", true}});
    ask.update(is_chat ? Json{{"logprobs", true}, {"top_logprobs", 2}} : Json{{"logprobs", 2}});
    const Json choice = served.post(path, ask).json()["choices"][0];
    for (size_t i = 0; i < 5; ++i) {
      const std::string expected = "token_id:" + choice["token_ids"][i].dump();
      EXPECT_EQ(is_chat ? choice["logprobs"]["content"][i]["token"] : choice["logprobs"]["tokens"][i], expected);
      EXPECT_TRUE(is_chat || choice["logprobs"]["top_logprobs"][i].contains(expected));
    }
  }
}

TEST_F(ServiceIntegration, AStreamTellsItsUsageAsItGoes) {
  for (const auto& [path, prompt] : routes_and_prompts()) {
    Json ask = prompt;
    ask.update({{"max_tokens", 40}, {"ignore_eos", true}, {"stream", true}, {"return_token_ids", true}});
    ask["stream_options"] = {{"include_usage", true}, {"continuous_usage_stats", true}};
    size_t tokens = 0;
    for (const std::string& event : served.post(path, ask).events()) {
      if (event == "[DONE]") continue;
      const Json chunk = Json::parse(event);
      for (const Json& choice : chunk["choices"]) tokens += choice["token_ids"].size();
      EXPECT_EQ(chunk["usage"]["completion_tokens"], tokens) << event;
    }
    EXPECT_EQ(tokens, 40u);
  }
}

TEST_F(ServiceIntegration, PromptsAreScoredAndEchoed) {
  const Json scored =
      served.post("/v1/completions", {{"prompt", "abcd"}, {"max_tokens", 0}, {"prompt_logprobs", 2}}).json();
  const Json& list = scored["choices"][0]["prompt_logprobs"];
  ASSERT_EQ(list.size(), 4u) << scored;
  EXPECT_TRUE(list[0].is_null());
  EXPECT_EQ(scored["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(scored["usage"]["completion_tokens"], 0);
  const Json echoed = served
                          .post("/v1/completions",
                                {{"prompt", "abcd"}, {"max_tokens", 2}, {"echo", true}, {"logprobs", 2}, {"seed", 1}})
                          .json();
  const Json& choice = echoed["choices"][0];
  EXPECT_EQ(choice["text"].get<std::string>().substr(0, 4), "abcd");
  ASSERT_EQ(choice["logprobs"]["token_logprobs"].size(), 6u);
  EXPECT_TRUE(choice["logprobs"]["token_logprobs"][0].is_null());
  for (int i = 1; i < 4; ++i) {
    const Json& entry = list[size_t(i)][std::to_string('a' + i)];
    EXPECT_EQ(choice["logprobs"]["token_logprobs"][size_t(i)], entry["logprob"]) << i;
    EXPECT_EQ(entry["decoded_token"], std::string(1, char('a' + i)));
  }
  EXPECT_EQ(choice["logprobs"]["text_offset"][4], 4);
}

TEST_F(ServiceIntegration, WhatIsRefusedNamesTheField) {
  const Json fine = {{"prompt", "hi"}, {"max_tokens", 1}};
  EXPECT_EQ(served.post("/v1/completions", fine).status, 200);
  const std::vector<std::pair<std::string, Json>> wrong = {{"temperature", -1},
                                                           {"temperature", "hot"},
                                                           {"top_p", 0},
                                                           {"top_p", 1.1},
                                                           {"top_k", 1.5},
                                                           {"min_p", 2},
                                                           {"n", 0},
                                                           {"n", 129},
                                                           {"seed", -1},
                                                           {"seed", int64_t(1) << 53},
                                                           {"stop", 7},
                                                           {"stop", {"a", 1}},
                                                           {"logprobs", 21},
                                                           {"prompt_logprobs", -1},
                                                           {"stop_token_ids", {258}},
                                                           {"stop_token_ids", "x"},
                                                           {"logit_bias", {{"258", 1}}},
                                                           {"logit_bias", {{"1", 101}}},
                                                           {"logit_bias", {{"x", 1}}},
                                                           {"max_tokens", -1},
                                                           {"max_tokens", 600},
                                                           {"min_tokens", 2},
                                                           {"stream", 1},
                                                           {"stream_options", {{"include_usage", true}}},
                                                           {"response_format", {{"type", "json_object"}}},
                                                           {"suffix", "x"},
                                                           {"best_of", 3},
                                                           {"guided_regex", "a+"},
                                                           {"guided_json", Json::object()},
                                                           {"structured_outputs", {{"regex", "a+"}}},
                                                           {"use_beam_search", true},
                                                           {"length_penalty", 2},
                                                           {"include_stop_str_in_output", true},
                                                           {"skip_special_tokens", false},
                                                           {"truncate_prompt_tokens", 1},
                                                           {"bad_words", {"x"}},
                                                           {"allowed_token_ids", {1}},
                                                           {"logits_processors", {"x"}},
                                                           {"vllm_xargs", {{"x", 1}}},
                                                           {"thinking_token_budget", 3},
                                                           {"max_completion_tokens", 3},
                                                           {"return_tokens_as_token_ids", 1},
                                                           {"ignore_eos", "yes"},
                                                           {"top_k", -2},
                                                           {"frequency_penalty", -2.5},
                                                           {"repetition_penalty", "x"},
                                                           {"logit_bias", {1, 2}},
                                                           {"presence_penalty", 3},
                                                           {"repetition_penalty", 0},
                                                           {"echo", "yes"},
                                                           {"prompt", Json::array()},
                                                           {"prompt", {{1, 2}, "a", 3}},
                                                           {"prompt", {1, 258}},
                                                           {"prompt", 7}};
  for (const auto& [field, value] : wrong) {
    Json ask = fine;
    ask[field] = value;
    expect_refused("/v1/completions", ask, field);
    if (field == "prompt" || field == "logprobs" || field == "max_completion_tokens") continue;
    ask.erase("prompt");
    if (field != "max_tokens") ask.erase("max_tokens"), ask["max_completion_tokens"] = 1;
    ask["messages"] = {{{"role", "user"}, {"content", "hi"}}};
    expect_refused("/v1/chat/completions", ask, field);
  }
  expect_refused("/v1/completions", {{"max_tokens", 1}}, "prompt");
  expect_refused("/v1/completions", {{"prompt", ""}, {"max_tokens", 1}}, "prompt");
  expect_refused("/v1/completions", {{"prompt", std::string(513, 'x')}}, "prompt");
  expect_refused("/v1/completions", {{"prompt", "hi"}, {"model", "another"}}, "model", 404);
  expect_refused("/v1/chat/completions", {{"messages", Json::array()}}, "messages");
  expect_refused("/v1/chat/completions", {{"messages", {{{"content", "x"}}}}}, "messages");
  expect_refused("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "x"}}}}, {"top_logprobs", 2}},
                 "top_logprobs");
  expect_refused("/v1/chat/completions",
                 {{"messages", {{{"role", "user"}, {"content", "x"}}}}, {"tool_choice", "required"}}, "tool_choice");
  expect_refused("/detokenize", {{"tokens", {-1}}}, "tokens");
  expect_refused("/tokenize", Json::object(), "prompt");
  expect_refused("/reload", {{"model_path", "/x"}}, "", 404);
  HttpClient broken(served.port());
  broken.ask("POST", "/v1/completions", "{\"prompt\": ");
  EXPECT_EQ(broken.reply().status, 400);
  const Reply wrong_method = served.get("/v1/completions");
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_NE(wrong_method.head.find("Allow: POST"), std::string::npos);
  const Json harmless = {{"prompt", "hi"},
                         {"max_tokens", 1},
                         {"response_format", {{"type", "text"}}},
                         {"functions", Json::array()},
                         {"seed", nullptr},
                         {"stop", ""},
                         {"user", "me"},
                         {"unheard_of", 3},
                         {"best_of", 1},
                         {"model", "tiny"}};
  EXPECT_EQ(served.post("/v1/completions", harmless).status, 200) << served.post("/v1/completions", harmless).body;
}

TEST_F(ServiceIntegration, SmallRoutes) {
  const Json tokens = served.post("/tokenize", {{"prompt", "h\xC3\xA9!"}}).json();
  EXPECT_EQ(tokens["tokens"], Json({104, 0xC3, 0xA9, 33}));
  EXPECT_EQ(tokens["count"], 4);
  EXPECT_EQ(tokens["max_model_len"], 512);
  EXPECT_EQ(served.post("/detokenize", {{"tokens", tokens["tokens"]}}).json()["prompt"], "h\xC3\xA9!");
  const Json models = served.get("/v1/models").json();
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"][0]["id"], "tiny");
  EXPECT_EQ(served.get("/v1/models/tiny").json(), models["data"][0]);
  EXPECT_EQ(served.get("/health").status, 200);
  served.post("/v1/completions", {{"prompt", "hello"}, {"max_tokens", 7}, {"ignore_eos", true}});
  EXPECT_EQ(served.metric("prompt_tokens_total"), 5);
  EXPECT_EQ(served.metric("generation_tokens_total"), 7);
  EXPECT_EQ(served.metric("num_requests_running"), 0);
  EXPECT_EQ(served.metric("num_requests_waiting"), 0);
}

TEST(ServiceReloadIntegration, NewWeightsBetweenRequests) {
  Served served({.engine = {.max_slots = 8}, .allow_reload = true});
  const std::string folder = testing::TempDir() + "cohort-reload-" + std::to_string(getpid());
  fs::create_directories(folder);
  const Compute compute(1);
  save_model(random_model(over_bytes(tiny_llama()), compute, 99), &served.tokenizer(), folder);
  const Json ask = {
      {"prompt", "hello there, this is a prompt"}, {"max_tokens", 20}, {"seed", 4}, {"return_token_ids", true}};
  const Json before = served.post("/v1/completions", ask).json();
  EXPECT_EQ(before["policy_version"], 0);
  for (const std::string& unusable : {folder + "-nowhere", std::string("/etc")}) {
    const Reply refused = served.post("/reload", {{"model_path", unusable}});
    EXPECT_EQ(refused.status, 400) << refused.body;
    EXPECT_NE(refused.body.find(unusable), std::string::npos);
  }
  Json narrower = over_bytes(tiny_llama());  // projections of the same shape, other heads
  narrower.update({{"num_attention_heads", 3}, {"num_key_value_heads", 1}, {"head_dim", 16}});
  fs::create_directories(folder + "-heads");
  save_model(random_model(narrower, compute, 99), &served.tokenizer(), folder + "-heads");
  const Reply other = served.post("/reload", {{"model_path", folder + "-heads"}});
  EXPECT_EQ(other.status, 400) << other.body;
  EXPECT_NE(other.body.find("heads"), std::string::npos) << other.body;
  fs::remove_all(folder + "-heads");
  EXPECT_EQ(served.post("/v1/completions", ask).json()["choices"], before["choices"]);
  const Reply reloaded = served.post("/reload", {{"model_path", folder}});
  EXPECT_EQ(reloaded.status, 200) << reloaded.body;
  EXPECT_EQ(reloaded.json()["policy_version"], 1);
  const Json after = served.post("/v1/completions", ask).json();
  EXPECT_EQ(after["policy_version"], 1);
  EXPECT_NE(after["choices"], before["choices"]);
  Engine engine(served.model(), compute, &served.tokenizer(), {}, 512);  // nothing is left of the old weights
  engine.submit({.prompt = served.tokenizer().encode(ask["prompt"].get<std::string>(), true),
                 .seed = 4,
                 .sampling = {.max_completion_length = 20},
                 .stop_ids = served.model().spec.stop_ids});
  EXPECT_EQ(after["choices"][0]["token_ids"], Json(engine.next_completed()->completions[0].tokens));
  const Json streamed = Json::parse(served.post("/v1/completions", {{"prompt", "a"}, {"stream", true}}).events().at(0));
  EXPECT_EQ(streamed["policy_version"], 1);
  EXPECT_EQ(served.post("/reload", {{"model_path", folder}, {"policy_version", 7}}).json()["policy_version"], 7);
  EXPECT_EQ(served.post("/reload", {{"model_path", folder}, {"policy_version", 7}}).status, 400);
  fs::remove_all(folder);
}

TEST(ServiceFault, AClientThatLeavesFreesItsSlots) {
  Served served({.engine = {.max_slots = 4}});
  const Json endless = {{"prompt", "hi"}, {"n", 64}, {"max_tokens", 500}, {"ignore_eos", true}, {"stream", true}};
  for (const bool stream : {true, false}) {
    const int64_t before = served.metric("generation_tokens_total");
    Json ask = endless;
    ask["stream"] = stream;
    HttpClient client(served.port());
    client.ask("POST", "/v1/completions", ask.dump());
    ASSERT_TRUE(stream ? client.hear("data: ").find("data: ") != std::string::npos
                       : served.comes_to("num_requests_running", 4));
    client.leave();
    EXPECT_TRUE(served.comes_to("num_requests_running", 0));
    EXPECT_LT(served.metric("generation_tokens_total") - before, 64 * 500);
  }
  EXPECT_EQ(served.metric("requests_abandoned_total"), 2);
  EXPECT_EQ(served.post("/v1/completions", {{"prompt", "hi"}, {"max_tokens", 1}}).status, 200);
}

TEST(ServiceFault, ALineThatIsFullIsSaidSo) {
  Served served({.engine = {.max_slots = 1}, .max_waiting = 2});
  const Json endless = {{"prompt", "hi"}, {"n", 64}, {"max_tokens", 500}, {"ignore_eos", true}, {"stream", true}};
  HttpClient client(served.port());
  client.ask("POST", "/v1/completions", endless.dump());
  client.hear("data: ");
  std::vector<std::unique_ptr<HttpClient>> waiting;
  for (int i = 0; i < 2; ++i) {
    waiting.push_back(std::make_unique<HttpClient>(served.port()));
    waiting.back()->ask("POST", "/v1/completions",
                        Json{{"prompt", "hi"}, {"max_tokens", 3}, {"ignore_eos", true}}.dump());
  }
  EXPECT_TRUE(served.comes_to("num_requests_waiting", 2));
  const Reply refused = served.post("/v1/completions", {{"prompt", "hi"}, {"max_tokens", 1}});
  EXPECT_EQ(refused.status, 429) << refused.body;
  EXPECT_EQ(refused.json()["error"]["type"], "rate_limit_error");
  EXPECT_EQ(served.post("/v1/completions", {{"prompt", {"1", "2", "3", "4"}}, {"max_tokens", 1}}).status, 400);
  client.leave();
  for (auto& one : waiting) EXPECT_EQ(one->reply().json()["usage"]["completion_tokens"], 3);
}

TEST(ServiceFault, AClientThatDoesNotReadHoldsNobodyUp) {
  Served served({.engine = {.max_slots = 4}, .max_unread = 100});
  HttpClient lazy(served.port(), 4096);
  lazy.ask("POST", "/v1/completions",
           Json{{"prompt", "hi"},
                {"n", 128},
                {"max_tokens", 500},
                {"ignore_eos", true},
                {"stream", true},
                {"logprobs", 20},
                {"return_token_ids", true}}
               .dump());
  EXPECT_EQ(served.post("/v1/completions", {{"prompt", "hi"}, {"max_tokens", 3}}).status, 200);
  EXPECT_TRUE(served.comes_to("requests_unread_total", 1));
  EXPECT_TRUE(served.comes_to("num_requests_running", 0));
  EXPECT_LT(served.metric("generation_tokens_total"), 128 * 500);
  EXPECT_EQ(lazy.hear().find("[DONE]"), std::string::npos);
  EXPECT_NE(lazy.hear().find("were sampled and not read"), std::string::npos);
}

TEST(ServiceFault, WhatRunsIsFinishedAtTheEnd) {
  Served served({.engine = {.max_slots = 4}});
  HttpClient client(served.port());
  client.ask("POST", "/v1/completions",
             Json{{"prompt", "hi"}, {"n", 8}, {"max_tokens", 400}, {"ignore_eos", true}, {"stream", true}}.dump());
  client.hear("data: ");
  served.begin_to_stop();
  const std::vector<std::string> events = client.reply().events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back(), "[DONE]");
  served.stop();
}

TEST(ServiceFault, TheEndIsNotWaitedForLongerThanSaid) {
  Served served({.engine = {.max_slots = 1}}, {.farewell_seconds = 0.2});
  HttpClient client(served.port());
  client.ask("POST", "/v1/completions",
             Json{{"prompt", "hi"}, {"n", 128}, {"max_tokens", 500}, {"ignore_eos", true}}.dump());
  EXPECT_TRUE(served.comes_to("num_requests_running", 1));
  served.stop();
  EXPECT_EQ(client.reply().status, 503);
}

TEST(ServiceFault, ManyClientsAtOnceAreAllServed) {
  Served served({.engine = {.max_slots = 8}, .max_waiting = 64});
  std::vector<std::thread> clients;
  std::atomic<int> right = 0;
  for (int i = 0; i < 48; ++i)
    clients.emplace_back([&, i] {
      Json ask = {{"prompt", "client " + std::to_string(i)}, {"max_tokens", 20 + i}, {"seed", i}, {"ignore_eos", true}};
      if (i % 3 == 0) ask["stream"] = true;
      if (i % 7 == 0) {
        HttpClient leaves(served.port());
        leaves.ask("POST", "/v1/completions", ask.dump());
      }
      const Reply reply = served.post("/v1/completions", ask);
      right += i % 3 == 0 ? reply.events().size() > 1 && reply.events().back() == "[DONE]"
                          : reply.json()["usage"]["completion_tokens"] == 20 + i;
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 48);
  EXPECT_TRUE(served.comes_to("num_requests_running", 0));
  EXPECT_EQ(served.metric("kv_cache_used_tokens"), 0);
}

}  // namespace
}  // namespace cohort
