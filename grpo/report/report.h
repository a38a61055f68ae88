// One self-contained HTML page over runs: curves, stage table, completions with their verdicts. It fetches nothing, and
// everything that comes out of the runs is escaped: completions are hostile.
#pragma once
#include <filesystem>
#include <span>
#include <string>

namespace cohort {

/// Run folders and chain folders (see run_folder.h); several are drawn in the same axes.
std::string report_page(std::span<const std::filesystem::path> run_dirs);

/// Writes the page to `out`, whole or not at all. Throws UsageError for folders that are no runs, std::runtime_error
/// when `out` cannot be written.
void write_report(std::span<const std::filesystem::path> run_dirs, const std::filesystem::path& out);

}  // namespace cohort
