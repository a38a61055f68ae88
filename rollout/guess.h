// Tokens that may follow, guessed from what stood behind the same tokens before (prompt lookup decoding,
// github.com/apoorvumang/prompt-lookup-decoding; earlier epochs' completions as drafts, arXiv 2509.23232). The engine
// samples every token as it would without a guess, so that guesses change speed and no bit.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace cohort {

/// At most `count` tokens that followed the longest match (four tokens to two) of the last ones: in an earlier
/// completion of the same prompt, `member`'s first and nearest to the same place, then in the text itself, latest
/// first. Empty where nothing matches.
std::vector<int32_t> guess_next(std::span<const int32_t> prompt, std::span<const int32_t> completion,
                                std::span<const std::vector<int32_t>> earlier, size_t member, size_t count);

}  // namespace cohort
