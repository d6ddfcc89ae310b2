#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/augment/d4.h"
#include "data/image/box_crop.h"
#include "data/pack/idx.h"
#include "data/pack/options.h"
#include "data/packed_dataset.h"

namespace baleen {

/// One sample to pack.
struct SourceSample {
  std::string id;
  std::filesystem::path file;   ///< image file; for IDX the file that holds all
  int64_t index = -1;           ///< position in the IDX file
  std::vector<int64_t> labels;  ///< ascending label indices; exactly one for single-class data
  std::string group;            ///< empty: a group of its own
  std::filesystem::path mask;   ///< image of where its subject is; empty: none
  bool upside_down = false;     ///< to be turned by 180°
  std::optional<Box> box;       ///< what to cut out, in the image as it is seen
  std::string copy_of;          ///< id of the sample that this is a copy of; empty: an original
  D4 symmetry = D4::kIdentity;  ///< how a copy differs
};

/// A sample but for the state of its files, as text: equal only for equal samples.
std::string description_of(const SourceSample& sample);

/// What there is to pack, in the order in which it will be stored.
struct SourceList {
  TargetKind target_kind = TargetKind::kNone;
  std::vector<std::string> label_names;
  std::vector<SourceSample> samples;
  std::shared_ptr<const IdxArray> idx;  ///< pixels of IDX data
  std::vector<std::string> notes;       ///< what the user should know: files without a row, …
};

/// Reads tables and folders, not images.
/// @throws Error kData listing what contradicts: duplicate ids, unknown labels, empty cells,
/// missing columns.
SourceList list_sources(const PackOptions& options);

/// Digest of the samples to pack: ids, labels, groups, and size and time of every file.
std::string digest_of(const SourceList& list);

}  // namespace baleen
