#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/base/format.h"
#include "data/pack/pack.h"

namespace baleen {
namespace {

constexpr size_t kMostLabelsShown = 30;
constexpr size_t kMostFilesShown = 10;

std::string label_text(const PackSummary::Part& part) {
  const std::vector<int64_t>& counts = part.label_counts;
  if (counts.empty()) return "";
  if (counts.size() > kMostLabelsShown) {
    const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
    return fmt::format("  {} labels, on {} to {} samples each\n", format_count(std::ssize(counts)),
                       format_count(*least), format_count(*most));
  }
  std::string text = "  ";
  for (size_t l = 0; l < counts.size(); ++l)
    text +=
        fmt::format("{}{} {}", l == 0 ? "" : ", ", part.label_names[l], format_count(counts[l]));
  return text + "\n";
}

/// Reasons, the most frequent first, each with its files.
std::string bad_images_text(const PackSummary::Part& part) {
  if (part.quarantined.empty()) return "";
  std::map<std::string, std::vector<const BadImage*>> by_reason;
  for (const BadImage& image : part.quarantined) by_reason[image.reason].push_back(&image);
  std::vector<std::pair<std::string, std::vector<const BadImage*>>> reasons(by_reason.begin(),
                                                                            by_reason.end());
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  std::string text =
      fmt::format("  {} bad images left out, listed in {}:\n", part.quarantined.size(),
                  (part.directory / Manifest::kQuarantineFileName).string());
  for (const auto& [reason, images] : reasons) {
    text += fmt::format("  {:>7}  {}\n", images.size(), reason);
    for (size_t i = 0; i < std::min(kMostFilesShown, images.size()); ++i)
      text += fmt::format("             {}\n", images[i]->file.string());
    if (images.size() > kMostFilesShown)
      text += fmt::format("             and {} more\n", images.size() - kMostFilesShown);
  }
  return text;
}

}  // namespace

bool PackSummary::already_complete() const {
  return std::all_of(parts.begin(), parts.end(),
                     [](const Part& part) { return part.already_complete; });
}

std::string PackSummary::text() const {
  std::string text;
  for (const Part& part : parts) {
    text +=
        fmt::format("{}: {} samples, {}{}\n", part.directory.string(), format_count(part.rows),
                    format_bytes(static_cast<uint64_t>(part.bytes)),
                    part.already_complete ? ", already complete"
                    : part.appended ? fmt::format(", {} of them new", format_count(part.num_new))
                                    : "");
    if (!part.already_complete) text += label_text(part);
    text += bad_images_text(part);
  }
  if (resumed > 0)
    text += fmt::format("{} images were packed by an earlier start\n", format_count(resumed));
  if (images > 0) {
    const double wall_s = std::max(seconds, 1e-6);
    text += fmt::format(
        "{} images in {}: {}, {}/s stored, {} of processor time{}\n", format_count(images),
        format_duration(seconds), format_rate(static_cast<double>(images) / wall_s, "img"),
        format_bytes(static_cast<uint64_t>(static_cast<double>(stored_bytes) / wall_s)),
        format_duration(cpu_seconds),
        processes > 1 ? fmt::format(" over {} processes", processes) : "");
  }
  for (const std::string& note : notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace baleen
