#include "data/pack/sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/pack/csv.h"
#include "data/pack/sample_lists.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;

// Collects complaints so that one error names all of them, the first twenty in full.
class Complaints {
 public:
  void add(std::string text) { texts_.push_back(std::move(text)); }
  void throw_if_any(const std::string& summary, const std::string& hint) const {
    if (texts_.empty()) return;
    constexpr size_t kShown = 20;
    std::string message = fmt::format("{} ({} in all):", summary, texts_.size());
    for (size_t i = 0; i < std::min(kShown, texts_.size()); ++i) message += "\n    " + texts_[i];
    if (texts_.size() > kShown) message += fmt::format("\n    and {} more", texts_.size() - kShown);
    throw Error(ErrorKind::kData, message, hint);
  }

 private:
  std::vector<std::string> texts_;
};

void require_directory(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw Error(ErrorKind::kData, folder.string() + " is no folder",
                "check the folders in the description of the dataset");
}

bool looks_like_image(const fs::path& file) {
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  static const std::set<std::string> kKnown = {".jpg", ".jpeg", ".png", ".tif", ".tiff"};
  return kKnown.contains(extension);
}

// Image files below a folder, sorted by path; hidden files and folders are left out.
std::vector<fs::path> images_below(const fs::path& folder) {
  std::vector<fs::path> files;
  for (auto it = fs::recursive_directory_iterator(folder,
                                                  fs::directory_options::follow_directory_symlink);
       it != fs::recursive_directory_iterator(); ++it) {
    if (it->path().filename().string().starts_with(".")) {
      it.disable_recursion_pending();
      continue;
    }
    if (it->is_regular_file() && looks_like_image(it->path())) files.push_back(it->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Turns label names into indices: of the list that the user gave, or of those that occur, sorted.
void number_labels(const PackOptions& options, const std::vector<std::vector<std::string>>& names,
                   const std::vector<std::string>& places, SourceList& list) {
  if (options.labels.empty()) {
    std::set<std::string> found;
    for (const auto& of_sample : names) found.insert(of_sample.begin(), of_sample.end());
    list.label_names.assign(found.begin(), found.end());
  } else {
    list.label_names = options.labels;
  }
  std::unordered_map<std::string, int64_t> indices;
  for (const std::string& name : list.label_names)
    indices.emplace(name, static_cast<int64_t>(indices.size()));
  Complaints unknown;
  for (size_t i = 0; i < names.size(); ++i) {
    std::set<int64_t> labels;
    for (const std::string& name : names[i]) {
      const auto index = indices.find(name);
      if (index == indices.end())
        unknown.add(fmt::format("{}: '{}'", places[i], name));
      else
        labels.insert(index->second);
    }
    list.samples[i].labels.assign(labels.begin(), labels.end());
  }
  unknown.throw_if_any("labels that are not in the list `labels`",
                       "add them to `labels`, or correct the data");
}

void note_files_without_row(const PackOptions& options, const SourceList& list,
                            std::vector<std::string>& notes) {
  std::unordered_set<std::string> named;
  for (const SourceSample& sample : list.samples)
    named.insert(sample.file.lexically_normal().string());
  std::vector<std::string> without;
  for (const fs::path& file : images_below(options.images))
    if (!named.contains(file.lexically_normal().string())) without.push_back(file.string());
  if (without.empty()) return;
  constexpr size_t kShown = 5;
  std::string note = fmt::format(
      "{} image files have no row in {} and are left out:", without.size(), options.labels_file);
  for (size_t i = 0; i < std::min(kShown, without.size()); ++i) note += "\n    " + without[i];
  if (without.size() > kShown) note += "\n    …";
  notes.push_back(std::move(note));
}

SourceList list_csv(const PackOptions& options) {
  require_directory(options.images);
  const bool tags = options.source == "csv_tags";
  const CsvTable table = CsvTable::read(options.labels_file);
  const size_t image_column = table.column(options.image_column);
  const std::string label_name =
      options.label_column.empty() ? (tags ? "tags" : "id") : options.label_column;
  const size_t label_column = table.column(label_name);
  const bool own_groups = !options.group_column.empty() && options.group_file.empty();
  const size_t group_column = own_groups ? table.column(options.group_column) : 0;

  SourceList list;
  list.target_kind = tags ? TargetKind::kMultiLabel : TargetKind::kSingleClass;
  std::vector<std::vector<std::string>> names;
  std::vector<std::string> places;
  Complaints empty_cells;
  for (size_t row = 0; row < table.num_rows(); ++row) {
    const std::string& image = table.at(row, image_column);
    places.push_back(fmt::format("{}:{}", options.labels_file, table.line(row)));
    std::vector<std::string> of_sample;
    if (tags) {
      std::istringstream words(table.at(row, label_column));
      for (std::string word; words >> word;) of_sample.push_back(word);
    } else {
      of_sample.push_back(table.at(row, label_column));
    }
    if (image.empty()) empty_cells.add(places.back() + ": no image");
    if (!tags && of_sample[0].empty()) empty_cells.add(places.back() + ": no " + label_name);
    names.push_back(std::move(of_sample));
    list.samples.push_back({.id = image,
                            .file = fs::path(options.images) / (image + options.extension),
                            .group = own_groups ? table.at(row, group_column) : ""});
  }
  empty_cells.throw_if_any("rows with empty cells", "fill them in or remove the rows");
  number_labels(options, names, places, list);
  note_files_without_row(options, list, list.notes);
  return list;
}

SourceList list_folders(const PackOptions& options) {
  require_directory(options.images);
  SourceList list;
  list.target_kind = TargetKind::kSingleClass;
  std::vector<std::vector<std::string>> names;
  std::vector<std::string> places;
  for (const fs::path& file : images_below(options.images)) {
    const fs::path relative = file.lexically_relative(options.images);
    if (std::distance(relative.begin(), relative.end()) < 2) {
      list.notes.push_back(file.string() + " lies in no class's folder and is left out");
      continue;
    }
    names.push_back({relative.begin()->string()});
    places.push_back(file.string());
    list.samples.push_back({.id = relative.generic_string(), .file = file});
  }
  number_labels(options, names, places, list);
  return list;
}

SourceList list_images(const PackOptions& options) {
  require_directory(options.images);
  SourceList list;
  for (const fs::path& file : images_below(options.images)) {
    fs::path id = file.lexically_relative(options.images);
    // With an extension set, ids are written without it, as the tables that go with such data do.
    if (!options.extension.empty() && id.extension() == options.extension) id.replace_extension();
    list.samples.push_back({.id = id.generic_string(), .file = file});
  }
  return list;
}

/// "train-images" for "…/train-images-idx3-ubyte.gz": samples of two IDX files never share an id.
std::string idx_stem(const std::string& file) {
  const std::string name = std::filesystem::path(file).filename().string();
  return name.substr(0, std::min(name.find("-idx"), name.find('.')));
}

SourceList list_idx(const PackOptions& options) {
  auto images = std::make_shared<IdxArray>(read_idx(options.images));
  const IdxArray labels = read_idx(options.labels_file);
  if (images->shape.size() < 3 ||
      (images->shape.size() == 4 && images->shape[3] != 1 && images->shape[3] != 3) ||
      images->shape[1] < 1 || images->shape[2] < 1)
    throw Error(
        ErrorKind::kData,
        options.images + " holds no images: its shape is not [N, H, W] or [N, H, W, 1 or 3]",
        "are `images` and `labels_file` exchanged?");
  if (labels.shape.size() != 1)
    throw Error(ErrorKind::kData,
                options.labels_file + " holds no labels: it has more than one dimension",
                "are `images` and `labels_file` exchanged?");
  if (labels.shape[0] != images->shape[0])
    throw Error(ErrorKind::kData,
                fmt::format("{} holds {} labels, {} {} images", options.labels_file,
                            labels.shape[0], options.images, images->shape[0]));
  SourceList list;
  list.target_kind = TargetKind::kSingleClass;
  list.label_names = options.labels;
  const int largest =
      labels.values.empty() ? -1 : *std::max_element(labels.values.begin(), labels.values.end());
  if (list.label_names.empty()) {
    for (int i = 0; i <= largest; ++i) list.label_names.push_back(std::to_string(i));
  } else if (largest >= static_cast<int>(list.label_names.size())) {
    throw Error(ErrorKind::kData,
                fmt::format("{} holds class {}, `labels` names {} classes", options.labels_file,
                            largest, list.label_names.size()));
  }
  const size_t digits = std::to_string(labels.values.size()).size();
  for (size_t i = 0; i < labels.values.size(); ++i)
    list.samples.push_back({.id = fmt::format("{}/{:0{}}", idx_stem(options.images), i, digits),
                            .file = options.images,
                            .index = static_cast<int64_t>(i),
                            .labels = {labels.values[i]}});
  list.idx = std::move(images);
  return list;
}

void read_groups(const PackOptions& options, SourceList& list) {
  const CsvTable table = CsvTable::read(options.group_file);
  const size_t image_column = table.column(options.image_column);
  const size_t group_column = table.column(options.group_column);
  std::unordered_map<std::string, std::string> groups;
  for (size_t row = 0; row < table.num_rows(); ++row)
    if (!groups.emplace(table.at(row, image_column), table.at(row, group_column)).second)
      throw Error(ErrorKind::kData, fmt::format("{}:{}: '{}' occurs twice", options.group_file,
                                                table.line(row), table.at(row, image_column)));
  Complaints missing;
  for (SourceSample& sample : list.samples) {
    const auto group = groups.find(sample.id);
    if (group == groups.end())
      missing.add(sample.id);
    else
      sample.group = group->second;
  }
  missing.throw_if_any("samples without a row in " + options.group_file,
                       "add them; an empty group means a group of its own");
}

void find_masks(const PackOptions& options, SourceList& list) {
  require_directory(options.mask_dir);
  int64_t without = 0;
  for (SourceSample& sample : list.samples) {
    const fs::path plain = fs::path(options.mask_dir) / sample.id;
    for (const fs::path& file : {plain, fs::path(plain.string() + ".png")})
      if (sample.mask.empty() && fs::is_regular_file(file)) sample.mask = file;
    without += sample.mask.empty();
  }
  if (without == std::ssize(list.samples))
    throw Error(ErrorKind::kData,
                fmt::format("{} has no mask for any of the samples, such as '{}' or '{}.png'",
                            options.mask_dir, list.samples[0].id, list.samples[0].id),
                "check `mask_dir` in the description of the dataset");
  if (without > 0)
    list.notes.push_back(fmt::format("{} samples have no mask and stay whole", without));
}

void check_ids(const SourceList& list) {
  std::unordered_map<std::string, int64_t> counts;
  for (const SourceSample& sample : list.samples) ++counts[sample.id];
  Complaints twice;
  for (const SourceSample& sample : list.samples) {
    const auto count = counts.find(sample.id);
    if (count == counts.end() || count->second == 1) continue;
    twice.add(fmt::format("'{}' ({} times)", sample.id, count->second));
    counts.erase(count);
  }
  twice.throw_if_any("ids that occur more than once",
                     "every sample needs an id of its own: remove the repetitions");
}

}  // namespace

SourceList list_sources(const PackOptions& options) {
  SourceList list;
  try {
    list = options.source == "idx"       ? list_idx(options)
           : options.source == "folders" ? list_folders(options)
           : options.source == "images"  ? list_images(options)
                                         : list_csv(options);
  } catch (const fs::filesystem_error& error) {
    throw storage_error("list", error.path1(), error.code().value());
  }
  if (list.samples.empty())
    throw Error(ErrorKind::kData, "there is nothing to pack in " + options.images);
  check_ids(list);
  if (!options.group_file.empty()) read_groups(options, list);
  if (!options.mask_dir.empty()) find_masks(options, list);
  apply_lists(options, list);
  return list;
}

std::string description_of(const SourceSample& sample) {
  std::string text = fmt::format("{}:{} {}:{} {}\n", sample.id.size(), sample.id,
                                 sample.group.size(), sample.group, fmt::join(sample.labels, ","));
  if (sample.upside_down) text += "upside down\n";
  if (sample.box)
    text += fmt::format("box {} {} {} {}\n", sample.box->x0, sample.box->y0, sample.box->x1,
                        sample.box->y1);
  if (!sample.copy_of.empty())
    text += fmt::format("{} of {}:{}\n", name_of(sample.symmetry), sample.copy_of.size(),
                        sample.copy_of);
  return text;
}

std::string digest_of(const SourceList& list) {
  std::string text;
  const auto add_file = [&](const fs::path& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) {
      text += "missing\n";
      return;
    }
    text +=
        fmt::format("{} {} {}\n", status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  };
  for (const std::string& name : list.label_names)
    text += fmt::format("{}:{}\n", name.size(), name);
  for (const SourceSample& sample : list.samples) {
    text += description_of(sample);
    if (!sample.mask.empty()) add_file(sample.mask);
    if (!list.idx) add_file(sample.file);
  }
  if (list.idx) text += digest_hex(list.idx->values.data(), list.idx->values.size());
  return digest_hex(text);
}

}  // namespace baleen
