#include "data/pack/append.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "core/base/error.h"
#include "data/pack/pack_plan.h"

namespace baleen {
namespace {

// Keys that may differ between what is there and what is added: where it comes from, how it is cut
// into files, what becomes of bad images.
bool may_differ(const std::string& key) {
  return key == "images" || key == "mask_dir" || key == "shard_samples" || key == "bad_images" ||
         key == "seed" || key.ends_with("_file");
}

}  // namespace

PackOptions options_for_appending(PackOptions options, const Manifest& base) {
  if (base.target_kind != TargetKind::kNone) options.labels = base.label_names;
  return options;
}

void check_appendable(const PackOptions& options, const Manifest& base,
                      const std::filesystem::path& target) {
  const auto now = nlohmann::json::parse(effective_options(options));
  const auto then = nlohmann::json::parse(base.options);
  std::vector<std::string> differences;
  for (const auto& [key, value] : now.items()) {
    if (may_differ(key)) continue;
    const auto before = then.find(key);
    // A key that the dataset's program did not know had no effect, as its default has none.
    if (before != then.end() && *before != value)
      differences.push_back(fmt::format("{}: {} then, {} now", key, before->dump(), value.dump()));
  }
  if (!differences.empty())
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} was packed with other options:\n    {}", target.string(),
                            fmt::join(differences, "\n    ")),
                "append with the options of then, or pack the whole anew with --overwrite");
  for (const auto& [key, chooses] : {std::pair{"hold_out", options.hold_out > 0},
                                     std::pair{"limit_per_label", options.limit_per_label > 0},
                                     std::pair{"limit_total", options.limit_total > 0}})
    if (chooses)
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("{} chooses among all samples: nothing can be appended", key),
                  "pack the whole anew with --overwrite");
}

NewSamples find_new_samples(const SourceList& list, std::span<const size_t> samples,
                            std::vector<PackedSource> packed, const std::filesystem::path& target) {
  std::unordered_map<std::string, const PackedSource*> known;
  for (const PackedSource& source : packed) known.emplace(source.id, &source);
  const std::vector<std::string> stamps = source_stamps(list, samples);
  NewSamples result;
  std::unordered_set<std::string> repaired;
  std::vector<std::string> changed;
  for (size_t i = 0; i < samples.size(); ++i) {
    const std::string& id = list.samples[samples[i]].id;
    const auto before = known.find(id);
    if (before != known.end() && before->second->stamp == stamps[i]) continue;
    if (before != known.end() && before->second->reason.empty()) {
      changed.push_back(id);
      continue;
    }
    if (before != known.end()) repaired.insert(id);
    result.samples.push_back(samples[i]);
  }
  if (!changed.empty()) {
    constexpr size_t kShown = 20;
    const size_t shown = std::min(kShown, changed.size());
    throw Error(
        ErrorKind::kData,
        fmt::format(
            "{} samples of {} have another file, label or group since they were packed: "
            "{}{}",
            changed.size(), target.string(),
            fmt::join(changed.begin(), changed.begin() + static_cast<ptrdiff_t>(shown), ", "),
            changed.size() > kShown ? ", …" : ""),
        "leave them out of the source or restore them; --overwrite packs the whole anew");
  }
  for (PackedSource& source : packed)
    if (!repaired.contains(source.id)) result.kept.push_back(std::move(source));
  return result;
}

}  // namespace baleen
