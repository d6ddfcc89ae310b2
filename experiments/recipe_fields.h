#pragma once

// The field lists of the recipe's structs: names, explanations, ranges. Included by
// experiments/recipe.h.

#include "experiments/recipe.h"

namespace baleen {

template <class Visitor>
void visit_fields(Visitor& v, StageOptions& o) {
  v.field("size_px", o.size_px, "side of the square input images in pixels",
          config::between(1, 4096));
  v.field("epochs", o.epochs, "passes over the training rows", config::at_least(1));
  v.field("batch", o.batch, "samples per optimizer step, over all logical shards",
          config::at_least(1));
  v.field("optimizer", o.optimizer, "fresh at the start of each stage");
  v.field("schedule", o.schedule, "learning rate within the stage");
  v.field("augment", o.augment, "random changes of the training images");
  v.field("loss", o.loss,
          "what this stage minimises; absent: the recipe's loss. A first stage with {kind: bce} "
          "warms up for soft_f2, whose gradient vanishes where no label is thought likely");
  v.field("dropout", o.dropout, "probability in this stage; absent: the backbone's",
          config::between(0, 0.95));
  v.field("freeze", o.freeze,
          "what keeps its weights in this stage: names or shell patterns of modules or parameters, "
          "or head, trunk, stem; each stage stands for itself");
  v.field("unfreeze", o.unfreeze, "exceptions from freeze, e.g. freeze: ['*'], unfreeze: [head]");
  v.field("reestimate_batch_norm", o.reestimate_batch_norm,
          "at the end of the stage, measure the running statistics anew over one epoch with the "
          "stage's final weights and without dropout, under which their variance is another");
  v.field("ema", o.ema, "averaged weights for evaluation and for what the stage hands on");
  v.field("early_stopping", o.early_stopping, "when to end the stage before its last epoch");
  v.field("pair_noise", o.pair_noise,
          "task.kind: siamese: how much chance there is in the choice of hard pairs, from which "
          "epoch on, in ascending order; empty: Piotte's table, by the epochs of the chain: 1000 "
          "for ten, then from 100 falling to 1, 0.5 and 0.25");
}

template <class Visitor>
void visit_fields(Visitor& v, BackboneSection& o) {
  v.field("name", o.name, "which network; `baleen models` lists them", config::required());
  v.field("label", o.label,
          "how chains and tables call it; needed where two entries share a name; empty: the name, "
          "or <name>-<variant>");
  v.field("variant", o.variant,
          "which images it sees, of those that were packed for each sample, in training and "
          "prediction: dehazed (data packed with dehaze.store: variant); empty: the images as they "
          "are. Samples and folds are the same, so that the stack weighs both");
  v.field("dropout", o.dropout, "probability, where the network has dropout",
          config::between(0, 0.95));
  v.field(
      "auxiliary", o.auxiliary,
      "train with the auxiliary classifier, where the network has one: inception_v3, whose share "
      "of the loss is 0.4; it needs images of 299 px and rests in stages of smaller ones");
  v.field("head", o.head,
          "linear: the published head; gap: one linear layer over the means of all stages' maps",
          config::one_of({"linear", "gap"}));
  v.field("coordinates", o.coordinates,
          "CoordConv: the first convolution also sees each pixel's x and y, in [-1, 1]");
  v.field("coordinate_radius", o.coordinate_radius,
          "with coordinates: the first convolution also sees each pixel's distance from the "
          "centre, sqrt(x^2 + y^2)");
  v.field("recompute", o.recompute,
          "compute cheap layers again in the backward pass instead of keeping their results, where "
          "the network can (DenseNet): less memory, more time, the same numbers");
  v.field("weights", o.weights,
          "safetensors file that the network starts from (launch/convert_weights.py makes one of a "
          ".pth); a head of another size stays fresh; empty: fresh weights");
  v.field("grey_stem", o.grey_stem,
          "how weights for colour images become those for one channel: luma: .299 R + .587 G + "
          ".114 B; sum: R + G + B, exactly what the published network makes of a grey image",
          config::one_of({"luma", "sum"}));
  v.field("batch_norm", o.batch_norm,
          "statistics in training: local: each logical shard's own; sync: of the whole batch, with "
          "exact gradients (a word between ranks at every layer, all of a rank's shards in memory "
          "at once); frozen: the running ones, which stay, as do scale and shift",
          config::one_of({"local", "sync", "frozen"}));
  v.field("logical_shards", o.logical_shards, "instead of training.logical_shards",
          config::between(1, 1024));
  v.field("min_ranks", o.min_ranks,
          "the least number of ranks that share one of its chains, for networks whose batches need "
          "the memory of several; never more than the logical shards, or than the job has",
          config::between(1, 1024));
  v.field("priority", o.priority,
          "chains with a greater one are trained first; among equals the longest");
  v.field("batch_factor", o.batch_factor,
          "multiplies each stage's batch; below 1 for networks that need more memory",
          config::between(0.001, 1000));
  v.field("stages", o.stages, "instead of the recipe's stages");
}

template <class Visitor>
void visit_fields(Visitor& v, ImageSection& o) {
  v.field("fit", o.fit,
          "how an image that isn't square becomes one: stretch both sides, or crop the largest "
          "central square",
          config::one_of({"stretch", "crop"}));
  v.field("normalise", o.normalise, "mean and standard deviation of the network's input");
}

template <class Visitor>
void visit_fields(Visitor& v, TrainingSection& o) {
  v.field("logical_shards", o.logical_shards,
          "V: parts that each batch is cut into, and the most ranks that can share a chain; part "
          "of the results' "
          "identity. 1 is fastest where there are more chains than ranks",
          config::between(1, 1024));
  v.field("accumulate", o.accumulate, "micro-batches per shard: less memory, the same batch",
          config::between(1, 65536));
  v.field("channels_last", o.channels_last,
          "memory order of images and weights; usually faster for convolutions");
  v.field("precision", o.precision, "arithmetic of forward and backward passes; fp16 needs a GPU",
          config::one_of({"fp32", "bf16", "fp16"}));
  v.field("clip_norm", o.clip_norm, "largest 2-norm of the gradient; 0: no clipping",
          config::at_least(0));
  v.field("threads_per_rank", o.threads_per_rank,
          "threads of a rank's tensor operations; part of the results' identity, as sums are split "
          "among them",
          config::between(1, 1024));
  v.field("loader_threads", o.loader_threads, "threads that read images ahead, per rank; 0: none",
          config::between(0, 256));
  v.field(
      "shuffle", o.shuffle,
      "full: an epoch in any order; two_level: blocks of 256 neighbouring samples, then samples "
      "within a window of them, for data larger than memory",
      config::one_of({"full", "two_level"}));
  v.field("shuffle_window", o.shuffle_window,
          "samples among which two_level shuffles: as many as fit into memory",
          config::at_least(256));
  v.field("sampling", o.sampling, "how often each training image is seen");
  v.field("stage_to", o.stage_to,
          "folder on a disk of each machine to which the packed data are copied first, once per "
          "machine; copies stay for the next run; empty: no copy");
  v.field("determinism", o.determinism,
          "strict: the same bits on any number of ranks; fast: the backend's own sums, which "
          "depend on it",
          config::one_of({"strict", "fast"}));
  v.field("on_nonfinite", o.on_nonfinite,
          "a loss or gradient that is not finite: stop fails the chain; skip leaves the step out, "
          "ten in a row fail; roll_back goes back to the start of the epoch with a lower learning "
          "rate for the rest of the stage",
          config::one_of({"stop", "skip", "roll_back"}));
  v.field("roll_back_factor", o.roll_back_factor,
          "roll_back: on the learning rate, at each roll-back", config::between(1e-12, 1));
  v.field("roll_back_limit", o.roll_back_limit, "roll_back: times per chain, after which it fails",
          config::between(1, 1000));
  v.field("checkpoint_every_steps", o.checkpoint_every_steps,
          "save every so many optimizer steps, and at the end of each epoch; 0: as often as "
          "checkpoint_share allows",
          config::at_least(0));
  v.field("checkpoint_share", o.checkpoint_share,
          "part of the training time that checkpoints may take, where checkpoint_every_steps is 0: "
          "the next one is written, in the background, when it has been earned",
          config::between(0.0001, 1));
  v.field(
      "regroup_gain_s", o.regroup_gain_s,
      "between two stages, a chain changes to a larger group when idle ranks would save so many "
      "seconds; results are the same",
      config::at_least(0));
  v.field("keep_last", o.keep_last, "checkpoints kept per chain", config::between(1, 1000));
  v.field("keep_best", o.keep_best, "also keep the checkpoint with the best validation metric");
  v.field("device", o.device, "auto: a GPU where there is one",
          config::one_of({"auto", "cpu", "cuda"}));
  v.field("augment_on", o.augment_on,
          "where images are changed after cropping and resizing: host: on the loader's threads; "
          "device: in batches where the network is, with the same draws; auto: on the device if it "
          "is a GPU and no custom augmentation is named",
          config::one_of({"auto", "host", "device"}));
  v.field("cuda_graphs", o.cuda_graphs,
          "on a GPU, where a chain has a rank for itself: record forward and backward passes once "
          "per image size and play them back, which saves the host's part in them and keeps the "
          "memory of a pass; results are the same");
}

template <class Visitor>
void visit_fields(Visitor& v, PredictionSection& o) {
  v.field("chunk", o.chunk,
          "images predicted together; part of the results' identity, as a matrix product's bits "
          "depend on it",
          config::between(1, 65536));
  v.field("tta", o.tta,
          "test-time augmentation: views whose probabilities are averaged, by name (identity, "
          "flip_horizontal, rot90, "
          "...), or [d4] for all eight; empty: the image itself");
  v.field("tta_sizes_px", o.tta_sizes_px,
          "predict at each of these sides, in all views; empty: the last stage's",
          config::between(1, 4096));
  v.field("tta_random_passes", o.tta_random_passes,
          "look so many times more, at each size, with the random changes of tta_augment; draws "
          "depend on (seed, pass, sample id)",
          config::between(0, 1000));
  v.field("tta_augment", o.tta_augment, "random changes of the random passes");
  v.field(
      "tta_fusion", o.tta_fusion,
      "of all these looks: mean: of their probabilities; rank: order by the sum over looks of 1 "
      "/ (rank + 1), values from the mean over looks of the sorted probabilities "
      "(docs/augmentation.md)",
      config::one_of({"mean", "rank"}));
}

template <class Visitor>
void visit_fields(Visitor& v, ReliabilitySection& o) {
  v.field("retries", o.retries,
          "further attempts at a chain that failed, on other ranks where there are any",
          config::between(0, 10));
  v.field("hang_timeout_s", o.hang_timeout_s,
          "seconds without a heartbeat after which a rank counts as hung; beats come from a thread "
          "of their own, so that steps may take longer; 0: wait for ever",
          config::at_least(0));
  v.field(
      "digest_every_steps", o.digest_every_steps,
      "the ranks of a chain compare a hash of their weights every so many steps, and at the end "
      "of each epoch; a difference ends the run with exit code 88; 0: never",
      config::at_least(0));
}

template <class Visitor>
void visit_fields(Visitor& v, TaskSection& o) {
  v.field(
      "kind", o.kind,
      "labels: the dataset's labels or classes; boxes: the box around each image's subject, "
      "four outputs with loss.kind box_mse, written to boxes-oof.csv and boxes-test.csv as a "
      "description's boxes.file for `baleen pack` takes them; masks: the subject's pixels, with "
      "the backbone unet and loss.kind bce_dice, written as PNG to masks-oof and masks-test; "
      "metric: "
      "embeddings in which images of one class, an individual, lie close together, see metric; "
      "siamese: whether two images show the same individual, see siamese",
      config::one_of({"labels", "boxes", "masks", "metric", "siamese"}));
  v.field("boxes_file", o.boxes_file,
          "boxes: CSV file with a row per image of the dataset and the columns x0, y0, x1, y1, in "
          "pixels of the image before it was packed");
  v.field("image_column", o.image_column,
          "boxes: column with the sample's id; empty: the first column");
  v.field("masks", o.masks,
          "masks: folder with a grey PNG per image of the dataset, <id>.png or <id> itself, of the "
          "image before it was packed; what is brighter than half is the subject");
  v.field("unknown", o.unknown,
          "labels, metric: the class of images whose true class is none of the others, such as "
          "new_whale; empty: there is none");
  v.field("unknown_as", o.unknown_as,
          "what is learnt from those: class: it is a class as any other; drop: nothing, but they "
          "are predicted, for thresholds; uniform: that all known classes are equally likely; "
          "teacher: what distillation.teachers think of them",
          config::one_of({"class", "drop", "uniform", "teacher"}));
  v.field("flip_as_class", o.flip_as_class,
          "labels with cross_entropy, metric with arcface or cosface: mirror images are classes of "
          "their own; needs augmentations that mirror. Predictions of labels look at both "
          "views; embeddings need prediction.tta with flip_horizontal");
}

template <class Visitor>
void visit_fields(Visitor& v, ReportSection& o) {
  v.field("samples", o.samples, "sample images shown with their predictions",
          config::between(0, 500));
  v.field("analysis", o.analysis,
          "the second stage as baleen stack judges it; intervals, figures by label, calibration, "
          "diversity and more, as baleen analyze gives them; seconds for 40,000 samples");
  v.field("explanations", o.explanations,
          "images per backbone that show by Grad-CAM and saliency what it looks at; 0: none",
          config::between(0, 100));
}

template <class Visitor>
void visit_fields(Visitor& v, Recipe& o) {
  v.field("name", o.name, "of the run; absent: the recipe file's name");
  v.field("run_dir", o.run_dir, "directory of everything the run writes; empty: runs/<name>");
  v.field("plugins", o.plugins,
          "libraries that add networks, losses and augmentations, see docs/extending.md; loaded "
          "before names are looked up");
  v.field("seed", o.seed, "of initial weights, order of samples, augmentation and dropout",
          config::at_least(0));
  v.field("seeds", o.seeds, "train every (backbone, fold) once per seed; empty: once, with `seed`",
          config::at_least(0));
  v.field("dataset", o.dataset, "packed dataset (a directory that `baleen pack` wrote)",
          config::required());
  v.field("test", o.test, "packed test set to be predicted, labelled or not; empty: none");
  v.field("extra", o.extra,
          "more images to train on, in every fold; never held out, predicted or scored");
  v.field("corrections", o.corrections,
          "CSV file with the columns id and labels (and accepted), as `baleen relabel` writes it: "
          "training learns these instead of the dataset's labels; scores are of the dataset's; "
          "empty: none");
  v.field("folds", o.folds, "cross-validation");
  v.field("backbones", o.backbones, "models of the ensemble", config::required());
  v.field("stages", o.stages, "progressive resolution: one entry per stage, in order");
  v.field("images", o.images, "how stored images become the network's input");
  v.field("task", o.task, "what is learnt");
  v.field("metric", o.metric, "of task.kind: metric, instead of loss");
  v.field("siamese", o.siamese, "of task.kind: siamese, instead of loss");
  v.field("loss", o.loss, "what training minimises");
  v.field("distillation", o.distillation, "learn from other models' predictions, too");
  v.field("training", o.training, "how training is carried out");
  v.field("prediction", o.prediction, "how held-out and test images are predicted");
  v.field("snapshots", o.snapshots, "several moments of one training predict together");
  v.field("stacking", o.stacking, "how the models' predictions are combined");
  v.field("thresholds", o.thresholds, "from scores to sets of labels (multi-label data)");
  v.field("reliability", o.reliability, "what happens when something goes wrong");
  v.field("report", o.report, "what the report shows");
  v.field("sweep", o.sweep,
          "train the recipe many times over, with other values of some keys: docs/sweeps.md");
}

}  // namespace baleen
