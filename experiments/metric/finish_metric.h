#pragma once

#include <string>

#include "experiments/after_chains.h"
#include "experiments/journal.h"
#include "experiments/run.h"

namespace baleen {

/// What comes after the last chain of a run that learns embeddings, or a siamese network: oof.h5
/// with each image's embedding (a branch's features; narrower ones with zeros at their right) by
/// the models that did not train on it, and each fold's scores, by cosine or by the networks'
/// heads. Embeddings of different folds or models lie in different spaces: they are compared within
/// a fold and model only, and fused by adding up cosines. The test set's are in each chain's
/// test.h5. Runs on rank 0 only.
/// @returns the table for the user
/// @throws Error kData when a prediction is missing or leaked; kStorage.
std::string finish_metric(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                          const CheckStop& check_stop);

}  // namespace baleen
