#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "data/packed_dataset.h"
#include "data/sample_table.h"

namespace baleen {

/// How samples are divided into folds for cross-validation.
struct FoldOptions {
  int64_t count = 5;  ///< number of folds K; each sample is predicted by the model that trained on
                      ///< the other K − 1
  std::string kind = "auto";  ///< what is balanced between folds
  std::string folds_from;     ///< CSV file with columns id,fold; empty: compute the folds
  int64_t seed = 0;           ///< another seed gives another division of equal quality
};

template <class Visitor>
void visit_fields(Visitor& v, FoldOptions& o) {
  v.field("count", o.count, "number of folds", config::between(2, 1000));
  v.field("kind", o.kind,
          "what is balanced between folds: sizes only (plain), classes (stratified), every label "
          "of multi-label data "
          "(iterative), labels and group sizes (grouped); auto takes grouped where groups are set, "
          "else what fits the "
          "labels. A group is never split, whatever the kind",
          config::one_of({"auto", "plain", "stratified", "iterative", "grouped"}));
  v.field("folds_from", o.folds_from,
          "CSV file with the columns id and fold (counted from 0) to take the folds from; empty: "
          "compute them");
  v.field("seed", o.seed, "seed of the division", config::at_least(0));
}

/// All that the division may depend on: one entry per sample.
struct FoldSubject {
  TargetKind target_kind = TargetKind::kNone;
  std::vector<std::string> ids;     ///< N unique ids
  std::vector<std::string> groups;  ///< N group names, "" = a group of its own; or empty: no groups
  std::vector<std::string> label_names;  ///< L labels or C classes
  std::vector<std::vector<int64_t>>
      labels;  ///< N lists of ascending label indices; one index for single-class data
  /// N ids of the samples that the entries are copies of, "" = an original; or empty: no copies.
  std::vector<std::string> copies_of;

  bool is_copy(size_t position) const { return !copies_of.empty() && !copies_of[position].empty(); }
};

/// The given rows of a dataset, in their order.
FoldSubject fold_subject(const SampleTable& table, std::span<const int64_t> rows);

/// A division of N samples into K folds.
struct FoldAssignment {
  int64_t count = 0;                  ///< K
  std::string kind;                   ///< plain, stratified, iterative, grouped or file
  std::vector<int64_t> folds;         ///< N fold numbers in [0, K), in the order of the subject
  std::vector<std::string> warnings;  ///< e.g. labels with fewer samples than folds
  std::vector<bool> copies;  ///< N: has its original's fold, and is never held out; or empty: none

  /// Positions of the samples in `fold`, ascending, without copies: what is held out.
  std::vector<int64_t> positions_in(int64_t fold) const;
  /// Positions of the samples of all other folds, ascending, copies included: what is trained on.
  std::vector<int64_t> positions_outside(int64_t fold) const;
};

/// Divides the samples. A pure function of (ids, labels, groups, options): the order of the samples
/// does not matter.
///
/// Copies don't take part: each gets the fold of its original, and a group that holds nothing but
/// one original and its copies is none. Every sample gets exactly one fold and no group is split.
/// Stratified: every class and every fold size is within one of its share. Iterative: Sechidis et
/// al., "On the Stratification of Multi-Label Data", 2011, then exchanges that lower the squared
/// deviations of labels and sizes until none does. Grouped: greedy, largest group first, then the
/// same exchanges.
/// @throws Error kConfiguration when the kind does not fit the data; kData for more folds than
/// samples or groups,
///         duplicate ids, a copy without an original, or a bad file.
FoldAssignment make_folds(const FoldSubject& subject, const FoldOptions& options);

/// Reads the division from a CSV file whose header names `fold` and `id` (or one other column,
/// which is then the id).
/// @throws Error kData naming the file and the ids that are missing, unknown, repeated, out of
/// range, or whose group is split.
FoldAssignment read_folds(const FoldSubject& subject, const std::filesystem::path& file,
                          int64_t count);

}  // namespace baleen
