#include "data/pack/group_duplicates.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <unordered_map>

#include "core/base/error.h"
#include "data/duplicates.h"
#include "data/pack/convert.h"
#include "data/pack/group_names.h"
#include "data/parallel_for.h"

namespace baleen {
namespace {

struct SignedImage {
  uint64_t readable = 0;
  ImageSignature signature;
};
static_assert(std::is_trivially_copyable_v<SignedImage>);

// Signatures of every team.size-th image, for the other processes.
std::string sign_share(const PackOptions& options, const PackTeam& team,
                       const std::function<bool()>& stop_requested, int64_t num_threads,
                       const ImageCollection& images) {
  const auto size = static_cast<size_t>(team.size);
  const auto rank = static_cast<size_t>(team.rank);
  const size_t total = images.signatures.size();
  std::vector<SignedImage> mine(total > rank ? (total - rank + size - 1) / size : 0);
  const PerceptualHash kind = perceptual_hash_from_name(options.duplicates.hash);
  parallel_for(mine.size(), num_threads, [&](size_t i) {
    if (stop_requested && stop_requested())
      throw Error(ErrorKind::kInterrupted,
                  "a signal asked packing to stop while it looked for duplicates; finished shards "
                  "are kept",
                  "run the same command again");
    try {
      const Image image = images.read(rank + i * size);
      mine[i] = {1, signature_of(image.view(), kind, image.height, image.width)};
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) throw;  // what is unreadable is reported when packed
    }
  });
  return {reinterpret_cast<const char*>(mine.data()), mine.size() * sizeof(SignedImage)};
}

// Every process signs its share of the images, the first compares those that may be alike.
std::vector<std::vector<size_t>> find_pictures(const PackOptions& options, const PackTeam& team,
                                               const std::function<bool()>& stop_requested,
                                               int64_t num_threads, const SourceList& list) {
  ImageCollection images;
  images.read = [&list](size_t i) { return read_source(list, list.samples[i], 3); };
  images.signatures.resize(list.samples.size());
  const std::vector<std::string> shares =
      share(team, [&] { return sign_share(options, team, stop_requested, num_threads, images); });
  const std::vector<std::string> found = share(team, [&]() -> std::string {
    if (team.rank > 0) return "";
    for (size_t i = 0; i < images.signatures.size(); ++i) {
      SignedImage image;
      std::memcpy(&image, shares[i % shares.size()].data() + i / shares.size() * sizeof image,
                  sizeof image);
      if (image.readable == 1) images.signatures[i] = image.signature;
    }
    return nlohmann::json(duplicate_groups(images, options.duplicates, num_threads)).dump();
  });
  return nlohmann::json::parse(found[0]).get<std::vector<std::vector<size_t>>>();
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

void group_duplicates(const PackOptions& options, const PackTeam& team,
                      const std::function<bool()>& stop_requested, int64_t num_threads,
                      SourceList& list) {
  const std::vector<std::vector<size_t>> pictures =
      find_pictures(options, team, stop_requested, num_threads, list);
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
