#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/joined_table.h"
#include "data/oof.h"

namespace baleen {

// Shapes: N samples, K labels or classes.

/// When a model is trusted.
struct TrustOptions {
  double threshold = 0.95;                         ///< certainty that is enough
  std::map<std::string, double> label_thresholds;  ///< of single labels, instead
  bool accept_corrections = false;  ///< corrections that are certain enough count as accepted
};

/// What a sample is thought to show.
struct Proposal {
  std::string id;
  RowLabels labels;
  double confidence = 0;  ///< of the least certain decision
  bool accepted = false;
  RowLabels given;  ///< corrections: the labels there are
};

/// Labels for unlabelled images, most doubtful first, ids among equals.
///
/// Of classes the most probable is proposed, its probability is the certainty. Each label of
/// multi-label data is proposed from 0.5 on; its certainty is p or 1 - p, whichever is larger, the
/// sample's that of its least certain label. Accepted is what is certain enough in every decision,
/// by that label's threshold.
/// @throws Error kConfiguration for a threshold of a label that does not exist, naming the nearest.
std::vector<Proposal> propose_labels(const std::vector<std::string>& ids,
                                     const at::Tensor& probabilities_NK,
                                     const std::vector<std::string>& label_names, TargetKind kind,
                                     const TrustOptions& options);

/// Labelled samples whose out-of-fold predictions, the models' mean, contradict their labels most,
/// at most `limit`: what may be labelled wrongly. Of several labels only those are changed of which
/// the models are certain enough; the confidence is that of the most certain contradiction.
std::vector<Proposal> suggest_corrections(const OofData& data, const TrustOptions& options,
                                          int64_t limit);

/// CSV `id,labels,confidence,accepted`, with `given` before `confidence` for corrections; see
/// label_list.h for the first columns.
std::string proposals_csv(const std::vector<Proposal>& proposals,
                          const std::vector<std::string>& label_names, TargetKind kind,
                          bool corrections);

}  // namespace baleen
