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

using Json = nlohmann::json;

// Keys that may differ between what is there and what is added: where it comes from, how it is cut
// into files, what becomes of bad images.
bool may_differ(const std::string& key) {
  return key == "images" || key == "mask_dir" || key == "shard_samples" || key == "bad_images" ||
         key == "seed" || key.ends_with("_file");
}

Json what_must_agree(const std::string& options) {
  const Json all = Json::parse(options);
  Json result = Json::object();
  for (const auto& [key, value] : all.items())
    if (!may_differ(key)) result[key] = value;
  // A sample's own box is part of its stamp; what counts here is whether images are cut at all.
  if (result.contains("boxes")) {
    Json& boxes = result["boxes"];
    if (!boxes.value("file", "").empty()) boxes["file"] = "a table";
    boxes.erase("image_column");
  }
  return result;
}

}  // namespace

PackOptions options_for_appending(PackOptions options, const Manifest& base) {
  if (base.target_kind != TargetKind::kNone) options.labels = base.label_names;
  return options;
}

void check_appendable(const PackOptions& options, const Manifest& base,
                      const std::filesystem::path& target) {
  const Json now = what_must_agree(effective_options(options));
  // A key that the dataset's program did not know had no effect, as its default has none.
  Json then = what_must_agree(effective_options({}));
  then.merge_patch(what_must_agree(base.options));
  std::vector<std::string> differences;
  for (const auto& [key, value] : now.items())
    if (then[key] != value)
      differences.push_back(
          fmt::format("{}: {} then, {} now", key, then[key].dump(), value.dump()));
  if (!differences.empty())
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} was packed with other options:\n    {}", target.string(),
                            fmt::join(differences, "\n    ")),
                "append with the options of then, or pack the whole anew with --overwrite");
  for (const auto& [key, acts] : {std::pair{"hold_out", options.hold_out > 0},
                                  std::pair{"limit_per_label", options.limit_per_label > 0},
                                  std::pair{"limit_total", options.limit_total > 0},
                                  std::pair{"duplicates.group", options.duplicates.group},
                                  std::pair{"balance", !options.balance.empty()}})
    if (acts)
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("{} depends on all samples at once: nothing can be appended", key),
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
            "{} samples of {} have another file, label, group or box since they were packed: {}{}",
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
