#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "distributed/communicator.h"
#include "experiments/extensions.h"
#include "experiments/relabel/proposals.h"

namespace baleen {

/// What `baleen relabel` does.
struct RelabelJob {
  std::filesystem::path run;  ///< a finished run of labels or classes
  std::string unlabelled;     ///< packed dataset; empty: only corrections are suggested
  TrustOptions trust;
  int64_t corrections = 100;  ///< suggested at most
  std::filesystem::path output = "relabel";
  std::function<bool()> stop;  ///< a signal arrived; may be empty
};

/// [collective] Lets a run label images that it was not trained on. Writes, on rank 0, to
/// `output`: review.csv (a proposal for each unlabelled image, most doubtful first), teacher.h5
/// (their probabilities by id, for `distillation.teachers`), and corrections.csv (labelled images
/// of which the out-of-fold predictions think otherwise). @returns what to tell people, on rank 0
/// @throws Error kData, kConfiguration, kStorage, kInterrupted.
std::string run_relabel_job(const RelabelJob& job, const Extensions& extensions,
                            Communicator& group);

}  // namespace baleen
