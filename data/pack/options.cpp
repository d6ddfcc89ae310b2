#include "data/pack/options.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "data/augment/d4.h"

namespace baleen {

void validate(PackOptions& o, config::Problems& problems) {
  const auto report = [&](const std::string& field, const std::string& what) {
    problems.add(field, field + " " + what);
  };
  const bool from_csv = o.source == "csv_tags" || o.source == "csv_ids";
  if (o.output.empty()) report("output", "names no directory");
  if (o.images.empty()) report("images", "names no folder or file");
  if ((from_csv || o.source == "idx") && o.labels_file.empty())
    report("labels_file", "is needed for source " + o.source);
  if (!from_csv && o.source != "idx" && !o.labels_file.empty())
    report("labels_file", "is not read for source " + o.source);
  if (!from_csv && !o.group_column.empty() && o.group_file.empty())
    report("group_column", "needs group_file for source " + o.source);
  if (!o.mask_dir.empty() && o.source == "idx") report("mask_dir", "is for images that are files");
  if (!o.group_file.empty() && o.group_column.empty())
    report("group_column", "is needed with group_file: which of its columns holds the group");
  if (o.source == "images" && !o.labels.empty())
    report("labels", "has no meaning for source images");
  if (std::set<std::string>(o.labels.begin(), o.labels.end()).size() != o.labels.size())
    report("labels", "lists a label twice");
  if (o.channels == 2) report("channels", "is 1 (grey) or 3 (RGB)");
  if (o.fit == "none" && o.size_px != 0) report("size_px", "needs fit: squash or crop");
  if (o.fit != "none" && o.size_px == 0) report("size_px", "is needed with fit: " + o.fit);
  if (o.encoding == "jpeg" && !o.also_sizes_px.empty())
    report("also_sizes_px",
           "needs encoding: raw (JPEG is decoded at a fraction of its size instead)");
  if (!o.boxes.file.empty() && o.source == "idx") report("boxes", "can't be cut from IDX files");
  if (!o.balance.empty()) {
    if (o.source != "csv_ids" && o.source != "folders" && o.source != "idx")
      report("balance", "needs images with one class each");
    try {
      d4_views(o.balance);
    } catch (const Error& error) {
      report("balance", "names an unknown symmetry: " + error.message());
    }
  }
  std::set<int64_t> sizes;
  for (const int64_t size : o.also_sizes_px) {
    if (!sizes.insert(size).second)
      report("also_sizes_px", "lists " + std::to_string(size) + " twice");
    if (o.size_px != 0 && size >= o.size_px)
      report("also_sizes_px",
             "lists " + std::to_string(size) + ", which is not smaller than size_px");
  }
}

void resolve_paths(PackOptions& options, const std::filesystem::path& base) {
  for (std::string* path :
       {&options.output, &options.images, &options.labels_file, &options.group_file,
        &options.mask_dir, &options.exclude_file, &options.rotate_file, &options.boxes.file})
    if (!path->empty()) *path = (base / *path).lexically_normal().string();
}

}  // namespace baleen
