#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "data/manifest.h"
#include "data/pack/options.h"
#include "data/pack/source_table.h"

namespace baleen {

/// What is new in a source, compared with what a dataset was packed from.
struct NewSamples {
  std::vector<size_t> samples;     ///< indices into the list: new ids, and bad images that changed
  std::vector<PackedSource> kept;  ///< rows of the dataset's table that stay as they are
};

/// The options under which further samples are listed: labels are those of the dataset, in its
/// order.
PackOptions options_for_appending(PackOptions options, const Manifest& base);

/// @throws Error kConfiguration naming the keys in which the dataset was packed in another way.
void check_appendable(const PackOptions& options, const Manifest& base,
                      const std::filesystem::path& target);

/// @param samples indices into the list
/// @param packed  what the dataset was made from
/// @throws Error kData naming samples that are in the dataset and have changed since.
NewSamples find_new_samples(const SourceList& list, std::span<const size_t> samples,
                            std::vector<PackedSource> packed, const std::filesystem::path& target);

}  // namespace baleen
