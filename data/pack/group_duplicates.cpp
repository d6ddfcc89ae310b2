#include "data/pack/group_duplicates.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "core/base/error.h"
#include "data/duplicates.h"
#include "data/pack/convert.h"
#include "data/pack/group_names.h"
#include "data/parallel_for.h"

namespace baleen {
namespace {

ImageCollection collect(const PackOptions& options, const std::function<bool()>& stop_requested,
                        int64_t num_threads, const SourceList& list) {
  ImageCollection images;
  images.read = [&list](size_t i) { return read_source(list, list.samples[i], 3); };
  images.signatures.resize(list.samples.size());
  const PerceptualHash kind = perceptual_hash_from_name(options.duplicates.hash);
  parallel_for(list.samples.size(), num_threads, [&](size_t i) {
    if (stop_requested && stop_requested())
      throw Error(ErrorKind::kInterrupted, "packing was stopped; nothing was kept",
                  "run the same command again");
    try {
      const Image image = images.read(i);
      images.signatures[i] = signature_of(image.view(), kind, image.height, image.width);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) throw;  // what is unreadable is reported when packed
    }
  });
  return images;
}

void add_note(const std::vector<std::vector<size_t>>& pictures, SourceList& list) {
  size_t members = 0;
  size_t ambiguous = 0;
  for (const std::vector<size_t>& picture : pictures) {
    members += picture.size();
    ambiguous += std::any_of(picture.begin(), picture.end(), [&](size_t i) {
      return list.samples[i].labels != list.samples[picture[0]].labels;
    });
  }
  std::string note =
      fmt::format("{} pictures occur more than once, in {} images", pictures.size(), members);
  if (ambiguous > 0) note += fmt::format("; {} of them with different labels", ambiguous);
  list.notes.push_back(std::move(note));
}

}  // namespace

void group_duplicates(const PackOptions& options, const std::function<bool()>& stop_requested,
                      int64_t num_threads, SourceList& list) {
  const std::vector<std::vector<size_t>> pictures = duplicate_groups(
      collect(options, stop_requested, num_threads, list), options.duplicates, num_threads);
  add_note(pictures, list);
  UnionFind sets(list.samples.size());
  for (const std::vector<size_t>& picture : pictures)
    for (const size_t i : picture) sets.unite(picture[0], i);
  std::unordered_map<std::string, size_t> first_of_group;
  for (size_t i = 0; i < list.samples.size(); ++i)
    if (!list.samples[i].group.empty())
      sets.unite(first_of_group.emplace(list.samples[i].group, i).first->second, i);
  GroupNames names(list);
  for (const std::vector<size_t>& members : sets.groups()) {
    std::string name;
    for (const size_t i : members) {
      const std::string& group = list.samples[i].group;
      if (!group.empty() && (name.empty() || group < name)) name = group;
    }
    if (name.empty()) name = names.fresh(list.samples[members[0]].id);
    for (const size_t i : members) list.samples[i].group = name;
  }
}

}  // namespace baleen
