#include "data/duplicate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "core/base/error.h"
#include "data/inspect.h"
#include "data/pack/csv.h"
#include "data/parallel_for.h"

namespace baleen {
namespace {

// The originals of a dataset; rows[i] is the row of image i.
struct PackedCollection {
  std::shared_ptr<const PackedDataset> dataset;
  std::vector<int64_t> rows;
  ImageCollection images;

  std::string id(size_t i) const { return csv_field(dataset->id(rows[i])); }
  std::string label(size_t i) const { return label_text(*dataset, rows[i]); }
  std::pair<int64_t, int64_t> size(size_t i) const { return dataset->original_size(rows[i]); }
};

PackedCollection collect(const std::shared_ptr<const PackedDataset>& dataset,
                         const DuplicateOptions& options, const DuplicateSearchControl& control) {
  PackedCollection collection;
  collection.dataset = dataset;
  collection.rows = dataset->originals();
  collection.images.read = [dataset, rows = collection.rows](size_t i) {
    std::vector<uint8_t> scratch;
    return Image(dataset->image(rows[i], std::numeric_limits<int64_t>::max(), scratch));
  };
  collection.images.signatures.resize(collection.rows.size());
  const PerceptualHash kind = perceptual_hash_from_name(options.hash);
  parallel_for(collection.rows.size(), control.threads, [&](size_t i) {
    if (control.stop_requested && control.stop_requested())
      throw Error(ErrorKind::kInterrupted, "the search was stopped");
    const auto [height, width] = collection.size(i);
    collection.images.signatures[i] =
        signature_of(collection.images.read(i).view(), kind, height, width);
  });
  return collection;
}

}  // namespace

DuplicateReport find_duplicates(const std::shared_ptr<const PackedDataset>& dataset,
                                const DuplicateOptions& options,
                                const DuplicateSearchControl& control) {
  const PackedCollection all = collect(dataset, options, control);
  const auto pictures = duplicate_groups(all.images, options, control.threads);
  DuplicateReport report;
  report.csv = "picture,id,label,height,width,representative,ambiguous\n";
  int64_t num_ambiguous = 0;
  for (size_t p = 0; p < pictures.size(); ++p) {
    const std::vector<size_t>& members = pictures[p];
    const auto pixels = [&](size_t i) { return all.size(i).first * all.size(i).second; };
    const size_t largest = *std::max_element(
        members.begin(), members.end(), [&](size_t a, size_t b) { return pixels(a) < pixels(b); });
    const bool ambiguous = std::any_of(members.begin(), members.end(), [&](size_t i) {
      return all.label(i) != all.label(members[0]);
    });
    num_ambiguous += ambiguous;
    for (const size_t i : members) {
      const auto [height, width] = all.size(i);
      report.csv += fmt::format("{},{},{},{},{},{:d},{:d}\n", p, all.id(i), csv_field(all.label(i)),
                                height, width, i == largest, ambiguous);
      ++report.rows;
    }
  }
  report.summary = fmt::format(
      "{} images: {} pictures occur more than once, in {} images; {} of "
      "them with different labels\n",
      all.rows.size(), pictures.size(), report.rows, num_ambiguous);
  return report;
}

DuplicateReport match_datasets(const std::shared_ptr<const PackedDataset>& a,
                               const std::shared_ptr<const PackedDataset>& b,
                               const DuplicateOptions& options,
                               const DuplicateSearchControl& control) {
  const PackedCollection of_a = collect(a, options, control);
  const PackedCollection of_b = collect(b, options, control);
  const auto pairs = duplicates_between(of_a.images, of_b.images, options, control.threads);
  std::map<size_t, std::set<std::string>> labels;
  for (const DuplicatePair& pair : pairs) labels[pair.first].insert(of_b.label(pair.second));
  DuplicateReport report;
  report.csv = "id,other_id,distance,error,other_label,ambiguous\n";
  for (const DuplicatePair& pair : pairs)
    report.csv += fmt::format("{},{},{},{:.6f},{},{:d}\n", of_a.id(pair.first),
                              of_b.id(pair.second), pair.distance, pair.error,
                              csv_field(of_b.label(pair.second)), labels[pair.first].size() > 1);
  report.rows = std::ssize(pairs);
  const auto ambiguous = std::count_if(labels.begin(), labels.end(),
                                       [](const auto& entry) { return entry.second.size() > 1; });
  report.summary = fmt::format(
      "{} of {} images occur among the other {}; {} of them with different "
      "labels\n",
      labels.size(), of_a.rows.size(), of_b.rows.size(), ambiguous);
  return report;
}

}  // namespace baleen
