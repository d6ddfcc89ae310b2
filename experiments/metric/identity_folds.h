#pragma once

#include <string>

#include "data/folds.h"

namespace baleen {

/// The dataset as folds should see it where individuals are held out. "closed": as it is, balanced
/// by individual; "disjoint": an individual's images are one group; "open": those of `open_share`
/// of the individuals, drawn by name, are. With folds from a file only "disjoint" changes anything:
/// it checks the file.
FoldSubject subject_by_identity(FoldSubject subject, const FoldOptions& options,
                                const std::string& split, double open_share);

}  // namespace baleen
