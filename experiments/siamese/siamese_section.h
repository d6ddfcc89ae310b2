#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/field.h"

namespace baleen {

/// The noise of mined pairs from an epoch of a stage on.
struct PairNoise {
  int64_t from_epoch = 0;
  double amplitude = 1.0;
};

/// What a run with task.kind: siamese learns from, and which images it holds out.
struct SiameseSection {
  int64_t mine_every_epochs = 4;
  int64_t block = 2600;
  bool hard_positives = true;
  std::string smart_flips = "none";
  std::string balance = "even";
  std::string split = "closed";
  double open_share = 0.5;
};

template <class Visitor>
void visit_fields(Visitor& v, PairNoise& o) {
  v.field("from_epoch", o.from_epoch, "of the stage, from 0", config::at_least(0));
  v.field("amplitude", o.amplitude,
          "K: numbers drawn between 0 and K are added to the scores in [0, 1] before the hardest "
          "pairs are chosen; 1000: any pairs, 0: the hardest",
          config::at_least(0.0));
}

template <class Visitor>
void visit_fields(Visitor& v, SiameseSection& o) {
  v.field("mine_every_epochs", o.mine_every_epochs,
          "choose pairs anew after so many epochs, by the network's scores of all training images; "
          "each of the epochs in between has other pairs",
          config::between(1, 1000));
  v.field("block", o.block,
          "images among which pairs are sought, thrown together at random: blocks are solved in "
          "parallel, in time that grows with the images; 0: among all, in time that grows with "
          "their cube and memory with their square",
          config::at_least(0));
  v.field("hard_positives", o.hard_positives,
          "pairs of one individual are the least alike ones; false: any");
  v.field(
      "smart_flips", o.smart_flips,
      "for individuals that are not their own mirror image, as flukes: all: of each pair of one "
      "individual also both images mirrored, of each pair of two also either and both, three "
      "times as many pairs; drawn: each pair in one of these forms, another in each epoch",
      config::one_of({"none", "drawn", "all"}));
  v.field("balance", o.balance,
          "smart_flips: all makes twice as many pairs of two individuals as of one: even: as many "
          "of each in an epoch, the fewer come again; weight: those of one individual count twice; "
          "none",
          config::one_of({"even", "weight", "none"}));
  v.field("split", o.split,
          "what folds hold out: closed: images of ids that are trained, too; disjoint: whole ids; "
          "open: open_share of the ids as a whole, and images of the others. With folds.folds_from "
          "the file decides, and disjoint only checks it",
          config::one_of({"closed", "disjoint", "open"}));
  v.field("open_share", o.open_share, "open: share of ids that are held out as a whole",
          config::between(0.0, 1.0));
}

}  // namespace baleen
