#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/config/parameters.h"

// What a recipe adds to plain training: docs/training-on-top.md.

namespace baleen {

/// More images to train on, in every fold, and never to judge by.
struct ExtraSection {
  std::string dataset;
  std::string labels;
};

template <class Visitor>
void visit_fields(Visitor& v, ExtraSection& o) {
  v.field("dataset", o.dataset, "packed dataset, with or without labels of its own",
          config::required());
  v.field("labels", o.labels,
          "CSV file with the columns id and labels, of which those rows are used that have no `no` "
          "in the column accepted: what `baleen relabel` writes; empty: all images with the "
          "dataset's own labels");
}

/// Whose predictions are learnt from beside the labels.
struct DistillationSection {
  std::vector<std::string> teachers;
  double weight = 0.5;
  double temperature = 1.0;
  bool allow_seen = false;
};

template <class Visitor>
void visit_fields(Visitor& v, DistillationSection& o) {
  v.field("teachers", o.teachers,
          "finished runs, whose out-of-fold predictions (and those for their test set) are taken, "
          "and tables (CSV, HDF5) of probabilities by id; an image's answer is the mean over those "
          "that "
          "know it");
  v.field("weight", o.weight,
          "of the teacher's part: (1 - weight) * loss + weight * T^2 * KL(teacher || student)",
          config::between(0, 1));
  v.field("temperature", o.temperature,
          "T: both sides' logits are divided by it in the teacher's part, so that more of what the "
          "teacher thinks of the other classes is learnt; 2 to 5 are usual with classes",
          config::between(0.05, 100));
  v.field("allow_seen", o.allow_seen,
          "take a table's answers for training images though nothing says that its model was not "
          "trained on them: such a teacher repeats the labels, with more confidence than it has "
          "elsewhere");
}

/// How often each training image is seen.
struct SamplingSection {
  std::string kind = "shuffle";
  Parameters class_weights;
  std::string weights_file;
  bool replacement = true;
  int64_t samples = 0;

  bool weighs() const { return kind != "shuffle"; }
  /// Samples of an epoch where there are so many rows.
  int64_t epoch_samples(int64_t num_rows) const {
    return weighs() && samples > 0 ? samples : num_rows;
  }
};

template <class Visitor>
void visit_fields(Visitor& v, SamplingSection& o) {
  v.field("kind", o.kind,
          "shuffle: every training image once per epoch; weighted: drawn by class_weights and "
          "weights_file; balanced: drawn so that all classes come equally often",
          config::one_of({"shuffle", "weighted", "balanced"}));
  v.field("class_weights", o.class_weights,
          "weighted: weight of an image by its class, e.g. {new_whale: 0.05}; others weigh 1. Of "
          "several labels the largest counts; 0: never drawn",
          config::at_least(0));
  v.field("weights_file", o.weights_file,
          "weighted: CSV file with the columns id and weight, which multiplies that of the class; "
          "images that it does not name weigh 1");
  v.field("replacement", o.replacement,
          "an image may be drawn again in the same epoch; false: none twice");
  v.field("samples", o.samples, "drawn per epoch; 0: as many as there are training images",
          config::at_least(0));
}

/// Snapshot ensembling (Huang et al., "Snapshot ensembles: train 1, get M for free", 2017): one
/// training whose weights at several moments predict together.
struct SnapshotSection {
  int64_t last = 0;
  std::string at = "cycles";
  bool columns = false;
};

template <class Visitor>
void visit_fields(Visitor& v, SnapshotSection& o) {
  v.field("last", o.last,
          "m: predictions are the mean of the probabilities by the last m snapshots, the final "
          "weights among them; 0: the final weights alone",
          config::between(0, 1000));
  v.field("at", o.at,
          "when they are taken: cycles: at the end of each cycle of a stage's cosine schedule; "
          "stages: at the end of each stage, predicting at the stage's own size",
          config::one_of({"cycles", "stages"}));
  v.field("columns", o.columns,
          "the predictions of each earlier snapshot also become columns of their own in oof.h5, as "
          "further models for the stack: <model>-snapshot1 is the earliest");
}

}  // namespace baleen
