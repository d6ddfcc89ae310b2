#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

#include "core/config/field.h"

namespace baleen {

/// Ends a stage when the validation metric stalls.
struct EarlyStoppingOptions {
  int64_t patience = 0;      ///< epochs without improvement that are tolerated; 0: never stop early
  double min_delta = 0.0;    ///< improvement that counts
  bool restore_best = true;  ///< go on with the best epoch's weights instead of the last one's
};

template <class Visitor>
void visit_fields(Visitor& v, EarlyStoppingOptions& o) {
  v.field("patience", o.patience,
          "epochs without improvement that are tolerated; 0: never stop early",
          config::at_least(0));
  v.field("min_delta", o.min_delta, "improvement of the validation metric that counts",
          config::at_least(0));
  v.field("restore_best", o.restore_best,
          "go on with the weights of the best epoch instead of the last");
}

/// What early stopping and keep-best remember; part of a checkpoint. Larger metrics are better.
struct BestEpoch {
  std::optional<double> metric;
  int64_t epoch = -1;
  int64_t epochs_since = 0;

  /// Takes in one epoch's metric; NaN is no improvement. @returns whether it is the best so far
  bool update(double value, int64_t at_epoch, double min_delta) {
    if (std::isfinite(value) && (!metric || value > *metric + min_delta)) {
      metric = value;
      epoch = at_epoch;
      epochs_since = 0;
      return true;
    }
    ++epochs_since;
    return false;
  }
  bool exhausted(const EarlyStoppingOptions& options) const {
    return options.patience > 0 && epochs_since >= options.patience;
  }
};

template <class Visitor>
void visit_fields(Visitor& v, BestEpoch& b) {
  v.field("metric", b.metric, "best validation metric so far");
  v.field("epoch", b.epoch, "epoch it was reached");
  v.field("epochs_since", b.epochs_since, "epochs since");
}

}  // namespace baleen
