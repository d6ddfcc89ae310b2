#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "core/metrics/leave_one_out_retrieval.h"
#include "core/nn/pair_scores.h"
#include "core/weights/safetensors.h"
#include "distributed/communicator.h"

namespace baleen {

/// Scores of images [first, first + count) with all N, float32 [count, N].
using ScoreRows = std::function<at::Tensor(int64_t first, int64_t count)>;

/// [collective over `group`, where it isn't null] Each image as a query against all others, by
/// scores of pairs: some rows at a time, so that memory grows with N, and spread over the ranks.
/// The same on any number of ranks.
/// @param stop a signal arrived; may be empty
/// @throws Error kNumeric for scores that are not finite; kInterrupted on all ranks.
RetrievalScores retrieval_by_pairs(const ScoreRows& score, std::span<const int64_t> labels_N,
                                   Communicator* group, const std::function<bool()>& stop);

/// "recall_at_1", _2, _4 and _8, "map_at_5", and "loss": 1 - map_at_5. Where there was no query all
/// is as if nothing was found: model selection then has nothing to go by.
std::map<std::string, double> retrieval_metrics(const RetrievalScores& scores);

/// The head of a siamese network in a weights file, or null where it has none.
/// @throws Error kData when its tensors don't fit each other.
std::shared_ptr<SymmetricHead> read_pair_head(const SafetensorsFile& weights,
                                              const std::string& name);

}  // namespace baleen
