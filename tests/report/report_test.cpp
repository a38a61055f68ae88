#include "grpo/report/report.h"

#include <nlohmann/json.hpp>

#include "configs/error.h"
#include "folder.h"
#include "grpo/report/curves.h"

namespace cohort {
namespace {

using nlohmann::json;

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

class Reports : public FolderTest {
 protected:
  void write_metrics(const std::string& run, const std::vector<json>& rows) {
    std::string lines;
    for (size_t i = 0; i < rows.size(); ++i) {
      json row = rows[i];
      row["step"] = i + 1;
      lines += row.dump() + "\n";
    }
    write_text(folder / run / "metrics.jsonl", lines);
  }
  void write_group(const std::string& run, int step, const std::string& id, const std::string& completion,
                   const std::string& status) {
    const json rollout{{"completion", completion},
                       {"finish_reason", "stop"},
                       {"score", {{"value", 1}, {"status", status}, {"reason", "<why>"}}}};
    const json group{
        {"task", {{"id", id}, {"prompt", {{{"role", "user"}, {"content", "1 < 2?"}}}}, {"answer", "<yes>"}}},
        {"rollouts", {rollout, rollout}}};
    const auto path = folder / run / ("completions/step-00000" + std::to_string(step) + ".jsonl");
    write_text(path, (std::filesystem::exists(path) ? read_text(path) : "") + group.dump() + "\n");
  }
  std::string page(const std::vector<std::string>& runs) {
    std::vector<std::filesystem::path> folders;
    for (const std::string& run : runs) folders.push_back(folder / run);
    return report_page(folders);
  }
  std::string refusal(const std::string& run) {
    try {
      page({run});
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  }
};
class ReportsAttack : public Reports {};

TEST_F(Reports, CurvesOfWhatExists) {
  write_metrics("run", {{{"reward", 0.25}, {"eval/pass@1", 0.1}},
                        {{"reward", nullptr}},
                        {{"reward", 0.75},
                         {"eval/pass@1", 0.6},
                         {"eval/gain", 0.5},
                         {"eval/gain_low", 0.4},
                         {"eval/gain_high", 0.61},
                         {"own/metric", 3}}});
  const std::string html = page({"run"});
  EXPECT_EQ(count(html, "<svg class=\"chart\""), 4u);
  EXPECT_NE(html.find("+50.0 points [40.0, 61.0]"), html.npos);
  EXPECT_NE(html.find("0.25 → 0.75"), html.npos);
  EXPECT_NE(html.find("10 → 60.0 %"), html.npos);
  EXPECT_NE(html.find("Everything else in metrics.jsonl (1)"), html.npos);
  EXPECT_EQ(html.find("Entropy"), html.npos);
  EXPECT_EQ(html.find("nan"), html.npos);
}

TEST_F(Reports, ConstantsSaySo) {
  write_metrics("run",
                {{{"reward", 0}, {"logprob_bit_mismatches", 0}}, {{"reward", 1}, {"logprob_bit_mismatches", 0}}});
  EXPECT_NE(page({"run"}).find("0 throughout"), std::string::npos);
}

TEST_F(Reports, ColumnsThatAreNeverNumbersAreLeftOut) {
  write_metrics("run", {{{"reward", nullptr}, {"text", "x"}}});
  const std::string html = page({"run"});
  EXPECT_EQ(count(html, "<svg class=\"chart\""), 0u);
}

TEST_F(Reports, SeveralRunsShareTheirAxes) {
  write_metrics("a", {{{"reward", 0}}, {{"reward", 1}}});
  write_metrics("b", {{{"reward", 1}}, {{"reward", 0}}});
  write_text(folder / "a/config.json", R"({"learning_rate": 0.001, "same": {"x": 1}})");
  write_text(folder / "b/config.json", R"({"learning_rate": 0.002, "same": {"x": 1}})");
  const std::string html = page({"a", "b"});
  EXPECT_EQ(count(html, "<svg class=\"chart\""), 1u);
  EXPECT_EQ(count(html, "class=\"line r0 d0\""), 1u);
  EXPECT_EQ(count(html, "class=\"line r1 d0\""), 1u);
  EXPECT_NE(html.find("<td>learning_rate</td>"), html.npos);
  EXPECT_EQ(html.find("<td>same/x</td>"), html.npos);
  EXPECT_NE(page({"a", "a"}).find("a (2)"), std::string::npos);
}

TEST_F(Reports, AChainHasItsStagesAndTheirRuns) {
  write_metrics("chain/1-sft", {{{"loss", 2}}, {{"loss", 1}}});
  write_metrics("chain/2-grpo", {{{"reward", 0}}, {{"reward", 1}}});
  write_text(folder / "chain/stages.json", R"([
    {"name": "base", "kind": "eval", "folder": "0-base", "pass@1": 0.2, "ci95": [0.17, 0.24], "tokens": 0, "seconds": 3, "mean_length": 31},
    {"name": "cold start", "kind": "sft", "folder": "1-sft", "pass@1": null},
    {"name": "GRPO", "kind": "train", "folder": "2-grpo", "pass@1": 0.874, "ci95": [0.845, 0.901], "tokens": 3210000, "seconds": 371, "mean_length": 93.4}])");
  const std::string html = page({"chain"});
  for (const char* part : {"87.4 %", "84.5 % – 90.1 %", "3.21M", "6 min", "93.4", "cold start", "Supervised tuning",
                           "Reinforcement learning"})
    EXPECT_NE(html.find(part), html.npos) << part;
  EXPECT_EQ(count(html, "<svg class=\"interval\""), 2u);
  EXPECT_EQ(count(html, "<svg class=\"chart\""), 2u);
}

TEST_F(Reports, CompletionsOfTheSameTaskStandSideBySide) {
  for (const char* id : {"a", "b", "c", "shared"}) write_group("run", 1, id, std::string("early ") + id, "wrong");
  write_group("run", 3, "x", "neither first nor last", "wrong");
  for (const char* id : {"d", "shared"}) write_group("run", 9, id, std::string("late ") + id, "correct");
  const std::string html = page({"run"});
  EXPECT_LT(html.find("early shared"), html.find("late shared"));
  EXPECT_LT(html.find("late shared"), html.find("late d"));
  EXPECT_EQ(html.find("neither first nor last"), html.npos);
  EXPECT_EQ(count(html, "<article"), 5u);
  EXPECT_NE(html.find("2 of 2 in the group correct"), html.npos);
  EXPECT_NE(html.find("Step 9"), html.npos);
}

TEST_F(Reports, OneFileWholeOrNotAtAll) {
  write_metrics("run", {{{"reward", 1}}});
  write_report(std::vector{folder / "run"}, folder / "report.html");
  const std::string html = read_text(folder / "report.html");
  EXPECT_TRUE(html.starts_with("<!doctype html>"));
  EXPECT_TRUE(html.ends_with("</html>\n"));
  EXPECT_EQ(count(html, "http://www.w3.org/2000/svg") + count(html, "http-equiv"),
            count(html, "http"));  // nothing is fetched
  EXPECT_FALSE(std::filesystem::exists(folder / "report.html.tmp"));
}

TEST_F(Reports, FoldersThatAreNoRuns) {
  EXPECT_NE(refusal("absent").find("absent"), std::string::npos);
  std::filesystem::create_directories(folder / "bare");
  EXPECT_NE(refusal("bare").find("bare"), std::string::npos);
  write_text(folder / "broken/config.json", "{");
  EXPECT_NE(refusal("broken").find("config.json"), std::string::npos);
  write_text(folder / "chain/stages.json", "{}");
  EXPECT_NE(refusal("chain").find("stages.json"), std::string::npos);
  write_text(folder / "torn/completions/step-000001.jsonl", "{\"task\": {}, \"rollouts\": []}\n{\"task\"\n");
  EXPECT_NE(refusal("torn").find("step-000001.jsonl:2"), std::string::npos);
}

TEST_F(Reports, AFolderWithoutMetricsHasNoCurves) {
  write_text(folder / "run/config.json", "{\"model\": \"<m>\"}");
  const std::string html = page({"run"});
  EXPECT_NE(html.find("No metrics.jsonl"), html.npos);
  EXPECT_NE(html.find("&lt;m&gt;"), html.npos);
}

// Whatever a model or a file name says, no markup of theirs reaches the page.
TEST_F(ReportsAttack, EverythingIsEscaped) {
  const std::string hostile = "</pre></script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&";
  const std::string run = "<img src=x onerror=alert(2)>";
  write_group(run, 1, hostile, hostile, "\"><script>alert(3)</script>");
  write_metrics(run, {{{"reward", 1}, {hostile, 1}}, {{"reward", 2}, {hostile, 2}}});
  write_text(folder / run / "config.json", json{{hostile, hostile}}.dump());
  write_metrics("other", {{{"reward", 1}}});
  write_text(folder / "chain/stages.json",
             json::array({{{"name", hostile}, {"kind", hostile}, {"folder", hostile}}}).dump());
  const std::string html = page({run, "other", "chain"});
  EXPECT_EQ(count(html, "<script"), 1u);
  EXPECT_EQ(count(html, "</script"), 1u);
  EXPECT_EQ(count(html, "<img"), 0u);
  EXPECT_EQ(count(html, "<pre"), count(html, "</pre"));
}

TEST_F(ReportsAttack, LongTextsAreCut) {
  write_group("run", 1, std::string(100000, 'i'), std::string(3'000'000, 'x'), "wrong");
  const std::string html = page({"run"});
  EXPECT_LT(html.size(), 50'000u);
  EXPECT_NE(html.find("more bytes"), html.npos);
}

TEST_F(ReportsAttack, RowsOfAnotherForm) {
  for (const char* row : {"[]", "1", "{}", "{\"task\": 1, \"rollouts\": []}", "{\"task\": {}, \"rollouts\": [1]}",
                          "{\"task\": null, \"rollouts\": 3}"}) {
    write_text(folder / "run/completions/step-000001.jsonl", std::string(row) + "\n");
    EXPECT_NE(refusal("run").find("step-000001.jsonl:1"), std::string::npos) << row;
  }
  write_text(folder / "run/completions/step-000001.jsonl",
             "{\"task\": {\"prompt\": [1, {\"role\": 2}]}, \"rollouts\": [{\"score\": null}]}\n");
  EXPECT_EQ(refusal("run"), "accepted");
}

TEST_F(Reports, EvaluationsWithTheirTablesAndCompletions) {
  const json level2{{"value", "Level 2"},   {"tasks", 3},       {"pass@1", 0.5},
                    {"ci95", {0.25, 0.75}}, {"mean_length", 7}, {"truncated", 0.125}};
  json figures = level2;
  figures.update({{"model", "runs/<m>/final"},
                  {"pass@8", 0.875},
                  {"pass@8_ci95", {0.75, 1.0}},
                  {"maj@8", 0.625},
                  {"by", {{"level", {level2}}}}});
  write_text(folder / "evals/math.figures.json", figures.dump());
  write_group("evals", 1, "math/1", "the <first>", "wrong");
  std::filesystem::rename(folder / "evals/completions/step-000001.jsonl", folder / "evals/math.jsonl");
  std::filesystem::remove(folder / "evals/completions");
  write_text(folder / "evals/nll.figures.json", R"({"nll": 1.25, "ci95": [1, 1.5], "perplexity": 3.49, "tokens": 10})");
  const std::string html = page({"evals"});
  for (const char* part : {"<h2>Evaluations</h2>", "50.0 %", "25.0 % – 75.0 %", "pass@8 87.5 %", "maj@8 62.5 %",
                           "12.5 %", "math by level", "Level 2", "runs/&lt;m&gt;/final", "the &lt;first&gt;",
                           "verdict wrong", "Reference solutions", "1.25", "1 – 1.5", "3.49"})
    EXPECT_NE(html.find(part), html.npos) << part;
  EXPECT_EQ(html.find("<first>"), html.npos);
  EXPECT_EQ(count(html, "<svg class=\"interval\""), 2u);
}

TEST_F(ReportsAttack, FiguresOfAnyShapeAreShownOrRefused) {
  for (const char* figures :
       {R"({"pass@1": "x", "ci95": 3, "by": {"level": 4}})", R"({"pass@1": 0.5, "ci95": [null, 1]})", R"({"by": []})",
        R"({"nll": null, "by": {"a": [1, {"value": {}}]}})", "{}"}) {
    write_text(folder / "evals/e.figures.json", figures);
    EXPECT_NE(page({"evals"}).find("Evaluations"), std::string::npos) << figures;
  }
  for (const char* figures : {"[]", "{", "3"}) {
    write_text(folder / "evals/e.figures.json", figures);
    EXPECT_NE(refusal("evals").find("e.figures.json"), std::string::npos) << figures;
  }
}

}  // namespace
}  // namespace cohort
